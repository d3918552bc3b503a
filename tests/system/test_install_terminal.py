"""``pirack install`` in a terminal, over a real Mosquitto; the master is scripted."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.client.mqtt_link import connector
from tests.pirack.install_script import (
    CANCELLED,
    DONE,
    LOST,
    NEW,
    OLD,
    PROBLEMS,
    SCAN,
    STACK,
    WAITING,
    InstallMaster,
)
from tests.pirack.scripted_master import TOPICS
from tests.system.rack_processes import RackProcesses

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    processes = RackProcesses(tmp_path_factory.mktemp("processes"))
    processes.broker.start()
    yield processes.port
    processes.stop()


@pytest.fixture
async def master(port: int) -> AsyncIterator[InstallMaster]:
    made = InstallMaster(connector(Endpoint(port=port)), start=(NEW, WAITING))
    await made.start()
    made.say(OLD)
    made.show(STACK)
    yield made
    await made.link.stop()


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self) -> None:
        self._ours, self._its = pty.openpty()
        self._said = ""
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    async def start(self, port: int, *words: str) -> None:
        where = ("--host", "127.0.0.1", "--port", str(port), "--rack", TOPICS.rack)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pirack.cli", "install", *words, *where),
            stdin=self._its,
            stdout=self._its,
            stderr=self._its,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        )

    def _read(self) -> None:
        self._said += os.read(self._ours, 65536).decode(errors="replace")
        self._news.set()

    async def shows(self, text: str) -> str:
        async with asyncio.timeout(20):
            while text not in self._said:
                self._news.clear()
                await self._news.wait()
        return self._said

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def ends(self) -> int:
        async with asyncio.timeout(20):
            return await self.process.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self._its)
        if self.process.returncode is None:
            self.process.kill()


@pytest.fixture
async def terminal() -> AsyncIterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


async def test_a_person_reads_agrees_and_sees_every_board_to_the_end(
    port: int, master: InstallMaster, terminal: Terminal
) -> None:
    master.script["confirm"] = (SCAN,)
    await terminal.start(port)
    assert "stack 3 loses power" in await terminal.shows("Begin? [y/N]")
    terminal.type("y\n")
    await terminal.shows("1 of 2 boards")
    master.say(PROBLEMS)
    assert LOST in await terminal.shows("done, with problems\r\n")
    assert await terminal.ends() == 1
    assert master.words == ["start", "confirm"]


async def test_a_no_touches_nothing(
    port: int, master: InstallMaster, terminal: Terminal
) -> None:
    master.script["cancel"] = (CANCELLED,)
    await terminal.start(port, "start", "--stack", "3")
    await terminal.shows("Begin? [y/N]")
    terminal.type("\n")
    await terminal.shows("nothing was switched")
    assert await terminal.ends() == 1
    assert master.words == ["start", "cancel leave"]


async def test_ctrl_c_stops_looking_and_not_the_run(
    port: int, master: InstallMaster, terminal: Terminal
) -> None:
    master.say(SCAN)
    await terminal.start(port, "status", "--follow")
    await terminal.shows("1 of 2 boards")
    terminal.process.send_signal(signal.SIGINT)
    await terminal.shows("the run goes on without this terminal")
    assert await terminal.ends() == 1
    assert master.words == []


async def test_a_pipe_gets_plain_lines_and_the_exit_code(
    port: int, master: InstallMaster, tmp_path: Path
) -> None:
    master.script["start"] = (NEW, SCAN, DONE)
    log = tmp_path / "log"
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pirack.cli", "install", "start", "--yes"),
            *("--host", "127.0.0.1", "--port", str(port), "--rack", TOPICS.rack),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
        )
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    said = log.read_text()
    assert "\x1b" not in said
    assert "i-2, by ann: done\n  2 of 2 boards" in said
