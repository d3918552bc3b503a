"""A clock that stands still, and machines as files."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from node_agent.fake_clock import FakeClock
from node_agent.runner import FakeRunner
from tests.node_agent.office import Held, Office
from tests.node_agent.stage import Stage

TREES = Path(__file__).with_name("trees")


def _plant(text: str, root: Path) -> None:
    """Make the files a recorded tree describes."""
    for entry in text.split("\n== ")[1:]:
        name, _, content = entry.partition("\n")
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        body = content.rstrip("\n").replace("\\0", "\0")
        path.write_text(body + "\n" if "\0" not in body else body)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """Return what makes the file systems of a recorded machine: pi4, pi5, pc."""

    def make(name: str) -> Path:
        root = tmp_path / name
        _plant((TREES / f"{name}.txt").read_text(), root)
        return root

    return make


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office(FakeRunner())
    yield office
    await office.desk.stop()


@pytest.fixture
async def busy() -> AsyncIterator[Office]:
    office = Office(Held())
    yield office
    await office.desk.stop()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.begin()
    yield stage
    await stage.node.stop()
