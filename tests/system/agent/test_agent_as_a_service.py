"""The agent by the very commands of its unit, and a real Mosquitto."""

import asyncio
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench.agent import AgentUnit, agent_unit
from broker.contract.messages import Phase
from broker.contract.topics import NodeLeaf
from tests.mosquitto import OpenMosquitto
from tests.system.agent.process import ID, INTERVAL_S, ROOT, Observer

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

PROGRAM = "import sys\nfrom node_agent.cli import main\nsys.exit(main())\n"
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
UMASK = 0o077
"""The unit's own."""

Start = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]


@pytest.fixture
def byte_code(tmp_path: Path) -> Path:
    return tmp_path / "byte-code"


@pytest.fixture
def unit(tmp_path: Path, broker: OpenMosquitto, byte_code: Path) -> AgentUnit:
    config, program = tmp_path / "pirack.toml", tmp_path / "pirack-agent"
    config.write_text(
        f'[rack]\nname = "lab"\n[broker]\nport = {broker.port}\n'
        f'[agent]\nid = "{ID}"\ninterval_s = {INTERVAL_S}\nstate_dir = "{tmp_path}"\n'
    )
    program.write_text(PROGRAM)
    return agent_unit(Path(sys.executable), program, config, byte_code)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command as systemd would, and ends it after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(command: Sequence[str]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command, env=ENVIRONMENT, cwd=tmp_path, umask=UMASK)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def prepare(unit: AgentUnit, start: Start) -> None:
    assert start(unit.prepare).wait(60) == 0


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def lives(observer: Observer) -> None:
    """Wait until the agent has reported and obeyed."""
    await observer.until_beating()
    await observer.until(lambda: len(observer.said(NodeLeaf.DETAILS)) > 0)
    observer.order("uptime")
    await observer.until(lambda: Phase.DONE in observer.results())


async def lives_and_ends(
    process: "subprocess.Popen[bytes]", observer: Observer
) -> None:
    await lives(observer)
    process.terminate()
    assert await asyncio.to_thread(process.wait, 30) == 0


async def test_the_unit_starts_an_agent_that_reports_and_obeys(
    unit: AgentUnit, start: Start, observer: Observer, byte_code: Path
) -> None:
    prepare(unit, start)
    before = files(byte_code)
    process = start(unit.start)
    await lives_and_ends(process, observer)
    assert files(byte_code) == before


async def test_all_that_an_agent_imports_has_its_byte_code_before_it_starts(
    unit: AgentUnit, start: Start, observer: Observer, byte_code: Path
) -> None:
    prepare(unit, start)
    before = files(byte_code)
    assert all(path.name.endswith(".opt-2.pyc") for path in before)
    # Were it allowed to, it would write what is missing.
    process = start([word for word in unit.start if word != "-B"])
    await lives_and_ends(process, observer)
    assert files(byte_code) == before


async def test_an_agent_without_byte_code_lives_all_the_same_and_writes_none(
    unit: AgentUnit, start: Start, observer: Observer, byte_code: Path
) -> None:
    start(unit.start)
    await lives(observer)
    assert files(byte_code) == []


def test_every_user_may_read_the_byte_code_and_only_its_owner_may_change_it(
    unit: AgentUnit, start: Start, byte_code: Path
) -> None:
    prepare(unit, start)
    modes = {stat.filemode(path.stat().st_mode) for path in byte_code.rglob("*")}
    assert modes == {"drwxr-xr-x", "-rw-r--r--"}
