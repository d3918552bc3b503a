"""Real programs: bounded in time and output, without a shell, input or our secrets."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from broker.common.processes import STDOUT_BYTES
from broker.contract.messages import Throttled, ThrottleFlag
from node_agent import runner as runner_module
from node_agent import throttle
from node_agent.runner import Invocation, Outcome, SubprocessRunner, UnansweredError
from node_agent.throttle import ANSWER_WITHIN_S, ASK_EVERY_S, Throttle
from tests.node_agent.harness import FakeClock

pytestmark = pytest.mark.system


async def run(*argv: str, timeout_s: float = 40.0) -> Outcome:
    runner = SubprocessRunner(root_user=False)
    return await runner.run(Invocation(verb="x", argv=argv, timeout_s=timeout_s))


async def why_not(*argv: str, probe: tuple[str, ...] = (), root: bool = False) -> str:
    runner = SubprocessRunner(root_user=root)
    return await runner.why_not(Invocation(verb="x", argv=argv, probe=probe))


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting for somebody to bury it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"


async def gone(pid: int) -> None:
    """Wait until a killed process has died: the kernel takes its moment for that."""
    while runs(pid):  # noqa: ASYNC110  # the kernel wakes nobody for it
        await asyncio.sleep(0.01)


async def test_output_errors_and_exit_code_come_back() -> None:
    outcome = await run("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out\n", "err\n")
    assert not outcome.timed_out
    assert outcome.duration_s > 0


async def test_an_argument_is_never_read_by_a_shell() -> None:
    outcome = await run("echo", "$(id); `id` | id > /tmp/x")
    assert outcome.stdout == "$(id); `id` | id > /tmp/x\n"


async def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 600 & echo $! > {pids}; wait; sleep 600"
    outcome = await run("/bin/sh", "-c", script, timeout_s=3)
    assert outcome.timed_out
    assert "took longer than 3 s and was ended" in outcome.error
    await gone(int(pids.read_text()))


async def test_a_child_left_behind_does_not_hold_up_the_answer() -> None:
    outcome = await run("/bin/sh", "-c", "sleep 600 & echo $!")
    assert not outcome.timed_out
    child = int(outcome.stdout)
    if runs(child):
        os.kill(child, signal.SIGKILL)


async def test_the_tail_of_long_output_is_kept() -> None:
    outcome = await run("/bin/sh", "-c", "yes | head -n 100000; echo end")
    assert outcome.truncated
    assert len(outcome.stdout) == STDOUT_BYTES
    assert outcome.stdout.endswith("y\nend\n")


class Told:
    """What was told of a running program, which can wait until it has been told."""

    def __init__(self, folder: Path) -> None:
        self.texts: list[str] = []
        self._folder = folder

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        (self._folder / f"{len(text.split())} words").touch()

    def wait(self, words: int) -> str:
        """Return the line of a script that waits until so many words were told."""
        return f"until [ -e '{self._folder}/{words} words' ]; do sleep 0.02; done"


async def test_the_output_so_far_is_told_while_a_program_runs(tmp_path: Path) -> None:
    told = Told(tmp_path)
    runner = SubprocessRunner(root_user=False, progress_every_s=0.05)
    script = f"echo one; {told.wait(1)}; echo two; {told.wait(2)}"
    command = Invocation(verb="x", argv=("/bin/sh", "-c", script))
    outcome = await runner.run(command, told)
    assert [text for text in dict.fromkeys(told.texts) if text] == [
        "one\n",
        "one\ntwo\n",
    ]
    assert outcome.stdout == "one\ntwo\n"


async def test_a_program_that_prints_nothing_is_told_to_be_running(
    tmp_path: Path,
) -> None:
    told = Told(tmp_path)
    runner = SubprocessRunner(root_user=False, progress_every_s=0.02)
    argv = ("/bin/sh", "-c", told.wait(0))
    await runner.run(Invocation(verb="x", argv=argv), told)
    assert told.texts[0] == ""


@pytest.mark.parametrize("turns", range(8))
async def test_a_program_cut_off_while_it_starts_is_ended_and_holds_nothing_up(
    turns: int, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}; sleep 600 & wait"
    running = asyncio.create_task(run("/bin/sh", "-c", script))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    if pid.exists() and (number := pid.read_text()):  # cut off before it wrote
        await gone(int(number))


async def test_bytes_that_are_no_text_are_marked() -> None:
    outcome = await run("printf", r"a\377b")
    assert outcome.stdout == "a\N{REPLACEMENT CHARACTER}b"


async def test_a_program_that_is_not_there_is_a_failure_in_words() -> None:
    outcome = await run("no-such-program")
    assert outcome.exit_code is None
    assert outcome.error == (
        "'no-such-program' cannot be started: No such file or directory"
    )


async def test_there_is_no_input_to_wait_for() -> None:
    assert (await run("cat")).exit_code == 0


async def test_our_environment_is_not_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIRACK_SECRET", "hush")
    outcome = await run("env")
    names = {line.partition("=")[0] for line in outcome.stdout.splitlines()}
    assert names <= {"HOME", "TZ", "PATH", "LANG"}


async def test_a_missing_program_is_no_ability() -> None:
    assert await why_not("no-such-program") == (
        "program 'no-such-program' is not installed"
    )
    assert await why_not("uptime") == ""


async def test_a_probe_says_why_not() -> None:
    assert await why_not("true", probe=("true",)) == ""
    assert await why_not("true", probe=("false",)) == "exit code 1"
    probe = ("/bin/sh", "-c", "echo no light here >&2; exit 1")
    assert await why_not("true", probe=probe) == "no light here"


async def test_a_probe_that_hangs_is_not_known_and_not_unable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "PROBE_TIMEOUT_S", 0.2)
    with pytest.raises(UnansweredError, match="no answer from 'sleep' within"):
        await why_not("true", probe=("sleep", "30"))


async def test_what_sudo_does_not_allow_is_no_ability(tmp_path: Path) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(
        '#!/bin/sh\n[ "$2 $3" = "-l uptime" ] && exit 0\n'
        'echo "sudo: a password is required" >&2\nexit 1\n'
    )
    sudo.chmod(0o755)
    runner = SubprocessRunner(root_user=False, path=f"{tmp_path}:/usr/bin:/bin")

    async def asked(program: str) -> str:
        return await runner.why_not(Invocation(verb="x", argv=("sudo", "-n", program)))

    assert await asked("uptime") == ""
    assert await asked("reboot") == (
        "sudo does not allow it: sudo: a password is required"
    )


async def test_root_needs_no_sudo() -> None:
    assert await why_not("sudo", "-n", "uptime", root=True) == ""
    runner = SubprocessRunner(root_user=True)
    outcome = await runner.run(Invocation(verb="x", argv=("sudo", "-n", "echo", "hi")))
    assert outcome.stdout == "hi\n"


def test_a_vcgencmd_that_hangs_is_ended_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(throttle, "VCGENCMD", ("sh", "-c", "sleep 60; true"))
    asked = Throttle(root=tmp_path, raspberry=True, clock=clock)
    asked.read()
    clock.now += ANSWER_WITHIN_S
    answer = asked.read()
    assert answer is not None
    assert answer.unknown
    deadline = time.monotonic() + 10
    clock.now += ASK_EVERY_S
    monkeypatch.setattr(throttle, "VCGENCMD", ("echo", "throttled=0x8"))
    while (answer := asked.read()) is not None and answer.unknown:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # it is a real program
        clock.now += 0.01
    assert answer == Throttled(
        now=(ThrottleFlag.SOFT_TEMPERATURE_LIMIT,),
        since_boot=(ThrottleFlag.SOFT_TEMPERATURE_LIMIT,),
    )
