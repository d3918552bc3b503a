"""What every test can use, and what CI does not let pass."""

import os
import subprocess
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests import warden

settings.register_profile(
    "pirack", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pirack")  # no test fails because the machine is busy

pytest_plugins = ["nicegui.testing.user_plugin"]
"""NiceGUI's browserless ``user``; it must be named here, at the root of the tests."""


WARDEN = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """See to it that nothing is left, should this run be killed."""
    session.config.stash[WARDEN] = warden.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what is left now, before the run is over."""
    if WARDEN in config.stash:
        warden.stop(config.stash[WARDEN])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what drives Chromium last.

    Playwright keeps an event loop running in this thread until the session ends, and
    no test that awaits can run beside it.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI, where every program a test needs is there."""
    report = yield
    allowed = item.get_closest_marker("hardware") or hasattr(report, "wasxfail")
    if report.skipped and os.environ.get("CI") == "true" and not allowed:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
