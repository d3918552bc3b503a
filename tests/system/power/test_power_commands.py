"""Outlets switched by commands: no shell, no endless wait, no guess."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.contract.messages import Power
from master_service.power.drivers.command import CommandOutlets
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from master_service.rack.settings import CommandsRow

pytestmark = pytest.mark.system

NAME = "stack-1"


def outlets(**changed: object) -> CommandOutlets:
    words = {"on": "true", "off": "true", "status": "echo on", "timeout_s": 5.0}
    return CommandOutlets({NAME: CommandsRow(**{**words, **changed})})  # type: ignore[arg-type]  # any field


def script(folder: Path, text: str) -> str:
    path = folder / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_no_shell_sees_the_words(tmp_path: Path) -> None:
    made = tmp_path / "made"
    await outlets(on=f"echo on; touch {made} && touch {made}").switch(NAME, on=True)
    assert not made.exists()


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody collects has ended too."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    return True


def number_in(path: Path) -> int:
    """Return what a program wrote; 0 before it did."""
    return int(path.read_text().strip() or 0) if path.exists() else 0


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.02)


async def test_a_command_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path,
) -> None:
    child = tmp_path / "child"
    program = script(tmp_path, f"sleep 600 & echo $! > {child}; sleep 600")
    with pytest.raises(PowerRetryableError, match="was ended after 2 s"):
        await outlets(off=program, timeout_s=2.0).switch(NAME, on=False)
    assert number_in(child)
    await until(lambda: gone(number_in(child)))


async def test_a_cancelled_switching_leaves_no_command_behind(tmp_path: Path) -> None:
    child = tmp_path / "child"
    program = script(tmp_path, f"sleep 600 & echo $! > {child}; sleep 600")
    off = outlets(off=program, timeout_s=600.0)
    switching = asyncio.ensure_future(off.switch(NAME, on=False))
    await until(lambda: number_in(child))
    switching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await switching
    await until(lambda: gone(number_in(child)))


@pytest.mark.parametrize("turns", range(1, 9))
async def test_a_switching_cancelled_while_its_command_starts_leaves_none_behind(
    turns: int, tmp_path: Path
) -> None:
    leader = tmp_path / "leader"
    program = script(tmp_path, f"echo $$ > {leader}; sleep 600 & wait")
    off = outlets(off=program, timeout_s=600.0)
    switching = asyncio.ensure_future(off.switch(NAME, on=False))
    for _ in range(turns):
        await asyncio.sleep(0)
    switching.cancel()
    await asyncio.wait({switching}, timeout=30)
    assert switching.cancelled()
    if number := number_in(leader):  # ended before it wrote
        await until(lambda: gone(number))


async def test_exit_code_75_asks_for_another_attempt(tmp_path: Path) -> None:
    program = script(tmp_path, "echo the hub is busy >&2; exit 75")
    with pytest.raises(PowerRetryableError, match="the hub is busy"):
        await outlets(on=program).switch(NAME, on=True)


async def test_another_exit_code_needs_a_person(tmp_path: Path) -> None:
    program = script(tmp_path, "echo no such port >&2; exit 2")
    with pytest.raises(PowerFatalError, match="exit code 2: no such port"):
        await outlets(on=program).switch(NAME, on=True)


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(PowerFatalError, match=r"no-such-program.*No such file"):
        await outlets(on="no-such-program -a 1").switch(NAME, on=True)


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("ON", Power.ON),
        ("off", Power.OFF),
        ("Port 3: 0100 power, on", Power.ON),
        ("Port 3: 0000 off", Power.OFF),
    ],
)
async def test_status_is_read_from_words(said: str, level: Power) -> None:
    assert await outlets(status=("echo", said)).read(NAME) is level


@pytest.mark.parametrize("said", ["", "maybe", "on or off"])
async def test_a_status_that_is_not_clear_is_no_level(said: str) -> None:
    with pytest.raises(PowerFatalError, match="status_on"):
        await outlets(status=("echo", said)).read(NAME)


async def test_a_command_that_never_stops_talking_costs_no_memory() -> None:
    with pytest.raises(PowerRetryableError):
        await outlets(status="yes on", timeout_s=0.5).read(NAME)
