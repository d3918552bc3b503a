"""A rack that is up, and directories for those that come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.up.process import Up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A rack for the tests that only use one.

    Its directory has a space in its name: lines to paste must bear that.
    """
    data = tmp_path_factory.mktemp("up") / "my rack"
    started = Up(data, "--http-port", "28080", "--mqtt-port", "28883")
    try:
        yield started.ready()
    finally:
        started.stop()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of its own, for a test that starts and stops racks."""
    return tmp_path / "data"
