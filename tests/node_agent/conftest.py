"""Nodes under test, a clock that stands still, and machines as files."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.node_agent.harness import FakeClock, NodeHarness

TREES = Path(__file__).with_name("trees")


def _write_tree(text: str, root: Path) -> None:
    """Makes the files that a recorded tree describes."""
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
    """Returns what makes the file systems of a recorded machine: pi4, pi5, pc."""

    def make(name: str) -> Path:
        root = tmp_path / name
        _write_tree((TREES / f"{name}.txt").read_text(), root)
        return root

    return make


@pytest.fixture
async def node() -> AsyncIterator[NodeHarness]:
    harness = NodeHarness()
    await harness.begin()
    yield harness
    await harness.node.stop()
