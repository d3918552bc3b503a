"""Child processes: run to the end, or kept running; nothing hangs, nothing is left."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from broker.common import processes
from broker.common.processes import (
    DieWithParent,
    Finished,
    LineSink,
    NotReadyError,
    Process,
    run_once,
    start,
    until_ready,
)
from broker.common.supervisor import ProgramEnd, RestartPauses, Supervisor

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SH = ("/bin/sh", "-c")


def runs(pid: int) -> bool:
    """Whether a process is there, and not a zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(") ")[2][0] != "Z"
    return False


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # another process does it
            await asyncio.sleep(0.01)


def number_in(path: Path) -> int:
    return int(path.read_text().strip() or 0) if path.exists() else 0


async def test_output_and_exit_code_come_back() -> None:
    finished = await run_once([*SH, "echo out; echo err >&2; exit 3"], 20)
    assert (finished.exit_code, finished.stdout, finished.stderr) == (
        3,
        "out\n",
        "err\n",
    )
    merged = await run_once([*SH, "echo out; echo err >&2"], 20, merged=True)
    assert (merged.stdout, merged.stderr) == ("out\nerr\n", "")


async def test_a_signal_that_ended_it_is_told() -> None:
    assert (await run_once([*SH, "kill -9 $$"], 20)).exit_code == -signal.SIGKILL


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["no-such-program"], "No such file or directory"),
        (["/etc/passwd"], "Permission denied"),
        (["echo", "a\0b"], "embedded null byte"),
        (["echo", "\ud800"], "surrogates not allowed"),
        (["echo", "x" * 3_000_000], "Argument list too long"),
    ],
)
@pytest.mark.parametrize("mode", list(DieWithParent))
async def test_what_cannot_be_started_is_told_and_never_raised(
    argv: list[str], why: str, mode: DieWithParent
) -> None:
    finished = await run_once(argv, 20, die_with_parent=mode)
    assert finished.exit_code is None
    assert why in finished.error


async def test_a_program_that_ignores_the_end_is_killed_with_all_it_started(
    tmp_path: Path,
) -> None:
    child = tmp_path / "child"
    script = f"trap '' TERM; sleep 600 & echo $! > {child}; echo said; wait; sleep 600"
    finished = await run_once([*SH, script], 1)
    assert finished.timed_out
    assert finished.exit_code == -signal.SIGKILL
    assert finished.stdout == "said\n"
    assert "took longer than 1 s and was ended" in finished.error
    await until(lambda: not runs(number_in(child)))


@pytest.mark.parametrize("mode", list(DieWithParent))
async def test_a_program_left_behind_that_holds_the_pipe_holds_nobody_up(
    mode: DieWithParent,
) -> None:
    async with asyncio.timeout(15):
        finished = await run_once(
            [*SH, "sleep 600 & echo $!; exit 4"], 20, die_with_parent=mode
        )
    assert finished.exit_code == 4
    os.kill(int(finished.stdout), signal.SIGKILL)


async def test_the_end_of_endless_output_is_kept_and_costs_no_memory() -> None:
    finished = await run_once([*SH, "yes | head -c 3000000; echo end"], 20)
    assert finished.truncated
    assert len(finished.stdout) == processes.STDOUT_BYTES
    assert finished.stdout.endswith("y\nend\n")


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mode", list(DieWithParent))
async def test_a_run_that_is_cancelled_leaves_nothing_behind(
    turns: int, mode: DieWithParent, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $$ $! > {pids}; wait"
    running = asyncio.ensure_future(run_once([*SH, script], 600, die_with_parent=mode))
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns == 3:
        await until(lambda: pids.exists() and pids.read_text().strip())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
    await until(lambda: not any(runs(pid) for pid in left))


async def test_a_second_cancel_while_it_ends_kills_at_once(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {pid}; while :; do sleep 600; done"
    running = asyncio.ensure_future(run_once([*SH, script], 600))
    await until(lambda: number_in(pid))
    running.cancel()
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not runs(number_in(pid)))


ANOTHER_USERS = """
import asyncio, os
from broker.common.processes import run_once

async def main():
    running = asyncio.ensure_future(run_once(["sleep", "3"], 0.3))
    await asyncio.sleep(0.1)
    os.setresuid(65534, 65534, 65534)
    done = await running
    print(done.exit_code, done.timed_out, done.error)

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_program_of_another_user_is_left_and_told() -> None:
    """As an agent that is not root sees a program that sudo made root's."""
    argv = [sys.executable, "-c", ANOTHER_USERS]
    done = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.stdout.startswith("None True"), done.stderr
    assert "could not be ended: it is another user's" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("without_pidfd", [False, True])
async def test_the_end_is_seen_with_and_without_a_pidfd(
    monkeypatch: pytest.MonkeyPatch, *, without_pidfd: bool
) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError

    if without_pidfd:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (await run_once([*SH, "exit 7"], 20)).exit_code == 7


STARTER = """
import asyncio, sys
from broker.common.processes import DieWithParent, start

async def main():
    start(sys.argv[2:], die_with_parent=DieWithParent(sys.argv[1]))
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", [DieWithParent.PROGRAM, DieWithParent.GROUP])
async def test_a_program_may_end_with_us_even_by_kill_9(
    mode: DieWithParent, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $$ $! > {pids}; wait"
    with subprocess.Popen(  # noqa: ASYNC220  # the parent that is killed; it is no child of the loop
        [sys.executable, "-c", STARTER, mode.value, *SH, script], cwd=ROOT
    ) as parent:
        await until(lambda: pids.exists() and pids.read_text().strip())
        parent.kill()
    program, child = map(int, pids.read_text().split())
    await until(lambda: not runs(program))
    if mode is DieWithParent.GROUP:
        await until(lambda: not runs(child))
    else:
        os.kill(child, signal.SIGKILL)


async def test_such_a_program_is_asked_before_it_is_killed(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    script = (
        f"trap 'echo yes > {saved}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    )
    finished = await run_once([*SH, script], 1, die_with_parent=DieWithParent.GROUP)
    assert finished.timed_out
    assert saved.exists()


async def test_lines_are_passed_on_and_one_that_is_too_long_is_cut() -> None:
    lines: list[str] = []
    script = "echo one; head -c 200000 /dev/zero | tr '\\0' x; echo; echo; printf last"
    process = start([*SH, script], stdout=LineSink(lines.append))
    assert await process.wait() == 0
    await process.last_output()
    assert [line[:4] for line in lines] == ["one", "xxxx", "", "last"]
    assert len(lines[1]) == processes.LINE_BYTES


async def test_a_program_that_ends_before_it_is_ready_is_told() -> None:
    async def no() -> bool:
        return False

    with pytest.raises(NotReadyError, match=r"ended at once \(exit code 5\)"):
        await until_ready(start([*SH, "exit 5"]), no, 20)
    late = start([*SH, "sleep 600"])
    with pytest.raises(NotReadyError, match=r"is not ready after 0\.1 s"):
        await until_ready(late, no, 0.1)
    assert late.exit_code is not None


class Watched:
    """A supervised program and what was told of it."""

    def __init__(self, launch: Callable[[], Awaitable[Process]]) -> None:
        self.ends: list[ProgramEnd] = []
        self.starts = 0
        self.supervised = Supervisor(
            "it",
            launch,
            pauses=RestartPauses(first_s=0.01, longest_s=0.02),
            on_end=self.ends.append,
            on_start=self.count,
        )

    def count(self) -> None:
        self.starts += 1


async def test_what_must_live_is_started_again_until_it_is_stopped() -> None:
    async def launch() -> Process:
        return start([*SH, "sleep 600"])

    watched = Watched(launch)
    await watched.supervised.start()
    first = watched.supervised.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: watched.starts == 1)
    assert watched.supervised.pid not in {None, first}
    assert watched.ends[0].why == "killed by SIGKILL"
    second = watched.supervised.pid or 0
    assert await watched.supervised.stop()
    assert await watched.supervised.stop()
    assert not runs(second)
    assert watched.supervised.pid is None


async def test_a_start_that_fails_is_tried_again_whatever_it_raised() -> None:
    answers = iter([OSError(2, "No such file"), RuntimeError("can't start new thread")])

    async def launch() -> Process:
        for error in answers:
            raise error
        return start([*SH, "sleep 600"])

    watched = Watched(launch)
    watched.supervised.keep()
    await until(lambda: watched.starts == 1)
    assert [end.exit_code for end in watched.ends] == [None, None, None]
    await watched.supervised.stop()


@pytest.mark.dead_tasks
async def test_who_is_told_of_a_start_and_fails_does_not_end_the_supervision() -> None:
    async def launch() -> Process:
        return start([*SH, "sleep 600"])

    def fail() -> None:
        raise OSError(28, "No space left on device")

    pauses = RestartPauses(first_s=0.01)
    supervised = Supervisor("it", launch, pauses=pauses, on_start=fail)
    await supervised.start()
    for _ in range(2):
        pid = supervised.pid or 0
        os.kill(pid, signal.SIGKILL)
        await until(lambda: supervised.pid not in {None, pid})  # noqa: B023  # awaited here
    await supervised.stop()


async def test_who_explains_an_end_may_end_the_supervision() -> None:
    async def launch() -> Process:
        return start([*SH, "exit 3"])

    def give_up(end: ProgramEnd) -> None:
        raise ValueError(end.why)

    supervised = Supervisor("it", launch, on_end=give_up)
    await supervised.start()
    with pytest.raises(ValueError, match="exit code 3"):
        await supervised.given_up()
    await supervised.stop()


async def test_a_program_that_does_not_end_when_asked_is_killed() -> None:
    async def launch() -> Process:
        return start([*SH, "trap '' TERM; while :; do sleep 1; done"])

    watched = Watched(launch)
    await watched.supervised.start()
    await asyncio.sleep(0.1)
    assert not await watched.supervised.stop(0.1)


async def test_a_hundred_runs_leave_no_descriptor_open() -> None:
    async def one() -> Finished:
        return await run_once(["true"], 20)

    await one()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count only
    for _ in range(10):
        await asyncio.gather(*(one() for _ in range(10)))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # a count only
