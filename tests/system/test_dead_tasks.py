"""A test whose background task fails does not pass, whatever it asserts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]

PASSES = """
import asyncio
from broker.common.tasks import spawn

async def fail():
    raise RuntimeError("out of luck")

async def test_spawned():
    task = spawn("work", fail())
    await asyncio.wait({task})

async def test_bare():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0.01)
"""


def test_a_test_that_leaves_a_dead_task_behind_fails(tmp_path: Path) -> None:
    """The fixture of ``tests/conftest.py``, tried on two tests that pass otherwise."""
    (tmp_path / "test_passes.py").write_text(PASSES)
    conftest = "from tests.conftest import no_dead_tasks\n"
    (tmp_path / "conftest.py").write_text(conftest)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", tmp_path),
            tmp_path,
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("background tasks failed: ") >= 2, done.stdout
    assert "2 passed, 2 errors" in done.stdout
