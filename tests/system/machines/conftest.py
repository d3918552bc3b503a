"""The laboratory: what every story of this folder can use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machines import debian
from tests.system.machines.rack import Rack, deployed_rack, new_rack

BROKEN: set[str] = set()
"""The files of which a test failed."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a program or right that is missing, and says which.

    In CI nothing may skip.
    """
    reason = debian.missing()
    if not reason or os.environ.get("CI") == "true":
        return
    for item in items:
        if item.get_closest_marker("machines"):  # the folder's name is a keyword too
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers that a chapter of a story failed."""
    if report.failed:
        BROKEN.add(report.nodeid.partition("::")[0])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips the chapters after one that failed: they go on from where it ended."""
    if item.get_closest_marker("machines") and item.nodeid.partition("::")[0] in BROKEN:
        pytest.fail("a chapter before this one failed", pytrace=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns where the cards of a story's machines are."""
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def rack(folder: Path) -> Iterator[Rack]:
    """A rack before its first install run; one for a whole story."""
    with new_rack(folder) as rack:
        yield rack


@pytest.fixture(scope="module")
def deployed(folder: Path) -> Iterator[Rack]:
    """A rack whose four boards are online; one for a whole story."""
    with deployed_rack(folder) as rack:
        yield rack
