"""What every test can use, and what CI does not let pass."""

import gc
import logging
import os
import subprocess
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # ships no types

from broker.common import tasks
from tests import run_cleanup
from tests.virtual_time import Virtually, run_virtually

settings.register_profile(
    "pirack", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pirack")  # no test fails because the machine is busy

pytest_plugins = ["nicegui.testing.user_plugin"]
"""NiceGUI's browserless ``user``; it must be named here, at the root of the tests."""


MOST_WORKERS = 8
"""A worker's Chromium, rack and page take half a gigabyte."""
SHARED_RACK = "tests/system/deploy/"

CLEANUP = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Starts what ends all that is left, should this run be killed."""
    session.config.stash[CLEANUP] = run_cleanup.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends what is left, before the run is over."""
    if CLEANUP in config.stash:
        run_cleanup.stop(config.stash[CLEANUP])


def pytest_xdist_auto_num_workers() -> int:
    """Runs two tests at a time on each processor: half of them wait for a process."""
    return min(2 * (os.cpu_count() or 1), MOST_WORKERS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> "ByFile":
    """Hands out the tests by file."""
    return ByFile(config, log)


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # of no type, as said above
    """Gives a file to one worker, and a folder of which all tests share a rack."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SHARED_RACK):
            return SHARED_RACK
        return nodeid.partition("::")[0]


@pytest.fixture
def virtually() -> Virtually:
    """Returns what runs a coroutine in no time at all."""
    return run_virtually


class _Unretrieved(logging.Handler):
    """Collects what asyncio says of exceptions that were never retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one line of the logger ``asyncio``."""
        text = record.getMessage()
        if "never retrieved" in text:
            self.said.append(text)


@pytest.fixture(autouse=True)
def no_dead_tasks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which a background task ended with an exception.

    A test that wants one has the mark ``dead_tasks``.
    """
    tasks.reset()
    unretrieved = _Unretrieved()
    logging.getLogger("asyncio").addHandler(unretrieved)
    yield
    gc.collect(1)  # asyncio tells of an exception when the task is thrown away
    logging.getLogger("asyncio").removeHandler(unretrieved)
    died = [*tasks.failures, *unretrieved.said]
    tasks.reset()
    if died and request.node.get_closest_marker("dead_tasks") is None:
        pytest.fail("background tasks failed: " + "; ".join(died), pytrace=False)


@pytest.fixture(autouse=True)
def no_log_handlers_left() -> Iterator[None]:
    """Removes the handlers of a command that was run in this process.

    Each writes to the standard error of its test, which is closed by now: what the
    next test logs would be answered with a traceback.
    """
    before = set(logging.root.handlers)
    yield
    for handler in set(logging.root.handlers) - before:
        if type(handler) in {logging.StreamHandler, logging.FileHandler}:
            logging.root.removeHandler(handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what drives Chromium last.

    Playwright keeps an event loop running in this thread until the session ends, and
    no test that awaits can run beside it.
    """
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip into a failure in CI, where every program a test needs is there."""
    report = yield
    allowed = item.get_closest_marker("hardware") or hasattr(report, "wasxfail")
    if report.skipped and os.environ.get("CI") == "true" and not allowed:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
