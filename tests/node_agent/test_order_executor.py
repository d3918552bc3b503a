"""Orders judged, answered and performed, without a broker."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.common import atomic
from broker.contract.messages import Order, Phase
from node_agent import order_executor
from node_agent.order_executor import WAITING, alias_of, judge
from node_agent.order_memory import OrderMemory
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently
from tests.node_agent.harness import (
    Executor,
    FullDisk,
    HeldRunner,
    phases,
    turns,
    until_answered,
)

NOW = 1_700_000_000.0


def order(verb: str = "uptime", *args: str, **more: float) -> Order:
    return Order(id="o1", verb=verb, args=args, **more)  # type: ignore[arg-type]  # the floats of Order


@pytest.mark.parametrize(
    ("given", "retained", "seen", "wall_time", "ruling"),
    [
        (order(), False, False, NOW, Phase.ACCEPTED),
        (order(), True, False, NOW, Phase.REFUSED),
        (order(), True, True, NOW, Phase.REFUSED),
        (order(), False, True, NOW, None),
        (order(ttl_s=0.0), False, False, NOW, Phase.EXPIRED),
        (order(expires=NOW + 1), False, False, NOW, Phase.ACCEPTED),
        (order(expires=NOW - 1), False, False, NOW, Phase.EXPIRED),
        (order(expires=NOW - 1), False, False, None, Phase.ACCEPTED),
        (order("run"), False, False, NOW, Phase.REFUSED),
        (order("run", "uptime"), False, False, NOW, Phase.ACCEPTED),
        (order("run", "reboot"), False, False, NOW, Phase.REFUSED),
        (order("run", "refresh"), False, False, NOW, Phase.REFUSED),
        (order("run", "restart-agent"), False, False, NOW, Phase.REFUSED),
    ],
)
def test_an_order_is_ruled_on(
    given: Order,
    *,
    retained: bool,
    seen: bool,
    wall_time: float | None,
    ruling: Phase | None,
) -> None:
    phase, why = judge(given, retained=retained, seen=seen, wall_time=wall_time)
    assert phase is ruling
    assert bool(why) == (ruling is not Phase.ACCEPTED)


def test_how_late_an_order_came_is_said() -> None:
    _, why = judge(order(expires=NOW - 2.5), retained=False, seen=False, wall_time=NOW)
    assert why == "it expired 2.5 s before arrival"


def test_run_names_its_alias_first() -> None:
    assert alias_of(order("run", "journal", "ssh", "5")) == ("journal", ("ssh", "5"))
    assert alias_of(order("journal", "ssh")) == ("journal", ("ssh",))


@pytest.fixture
async def harness() -> AsyncIterator[Executor]:
    harness = Executor(FakeRunner())
    yield harness
    await harness.executor.stop()


@pytest.fixture
async def busy() -> AsyncIterator[Executor]:
    harness = Executor(HeldRunner())
    yield harness
    await harness.executor.stop()


async def test_an_order_is_acknowledged_begun_and_done(harness: Executor) -> None:
    harness.runner.outcomes["uptime"] = Outcome(
        exit_code=0, stdout="up 5 days", stderr="w", truncated=True, duration_s=1.5
    )
    said = await harness.order("uptime", id="abc")
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.DONE]
    last = said[-1]
    assert (last.id, last.verb, last.exit_code) == ("abc", "uptime", 0)
    assert (last.stdout, last.stderr) == ("up 5 days", "w")
    assert (last.truncated, last.duration_s) == (True, 1.5)


async def test_a_program_that_fails_says_its_exit_code(harness: Executor) -> None:
    harness.runner.outcomes["uptime"] = Outcome(exit_code=3, stderr="no such thing")
    last = (await harness.order("uptime"))[-1]
    assert (last.phase, last.exit_code, last.error) == (Phase.FAILED, 3, "exit code 3")


async def test_a_program_that_was_ended_did_not_succeed(harness: Executor) -> None:
    outcome = Outcome(exit_code=0, timed_out=True, error="took longer than 30 s")
    harness.runner.outcomes["uptime"] = outcome
    last = (await harness.order("uptime"))[-1]
    assert (last.phase, last.error) == (Phase.FAILED, "took longer than 30 s")


async def test_arguments_reach_the_program(harness: Executor) -> None:
    await harness.order("journal", "ssh")
    await harness.order("run", "journal", "unit=cron", id="o2")
    argvs = [invocation.argv for invocation in harness.runner.invocations]
    assert argvs == [("journalctl", "-u", "ssh"), ("journalctl", "-u", "cron")]


async def test_ping_and_refresh_are_answered_without_a_program(
    harness: Executor,
) -> None:
    assert phases(await harness.order("ping")) == [Phase.DONE]
    assert phases(await harness.order("refresh", id="o2")) == [Phase.DONE]
    assert harness.refreshes == 1
    assert harness.runner.invocations == []


async def test_a_copy_of_an_order_is_neither_run_nor_answered(
    harness: Executor,
) -> None:
    await harness.order("uptime")
    assert await harness.order("uptime") == []
    assert len(harness.runner.invocations) == 1


async def test_a_retained_order_is_refused_and_its_id_may_be_sent_properly(
    harness: Executor,
) -> None:
    order = Order(id="o1", verb="reboot")
    harness.executor.take(order, retained=True, wall_time=None)
    assert phases(harness.said) == [Phase.REFUSED]
    assert "retained" in harness.said[0].error
    await harness.order("reboot")
    assert (await until_answered(harness)).phase is Phase.DONE


async def test_an_unknown_verb_is_told_what_there_is(harness: Executor) -> None:
    await harness.executor.probe()
    (refused,) = await harness.order("dance")
    assert refused.phase is Phase.REFUSED
    assert refused.error == (
        "unknown verb 'dance'; this node can: "
        "ping, refresh, run, uptime, journal, reboot, shutdown, identify"
    )


async def test_what_cannot_work_is_not_offered_and_says_why(harness: Executor) -> None:
    harness.runner.obstacles["identify"] = "this machine has no ACT light"
    abilities = await harness.executor.probe()
    assert "identify" not in {ability.verb for ability in abilities}
    (refused,) = await harness.order("identify")
    assert refused.phase is Phase.REFUSED
    assert refused.error == (
        "identify cannot work on this node: this machine has no ACT light"
    )
    assert harness.runner.invocations == []


async def test_wrong_arguments_are_refused_before_anything_runs(
    harness: Executor,
) -> None:
    (refused,) = await harness.order("journal")
    assert refused.phase is Phase.REFUSED
    assert refused.error == "journal takes unit=…, got 0 argument(s)"


async def test_run_does_not_go_round_the_rules_of_reboot(harness: Executor) -> None:
    (refused,) = await harness.order("run", "reboot")
    assert refused.phase is Phase.REFUSED


async def test_a_reboot_is_on_disk_before_it_happens(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    found: list[bool] = []

    class Looking(FakeRunner):
        async def run(
            self, invocation: Invocation, progress: Progress = silently
        ) -> Outcome:
            found.append(OrderMemory.load(file).seen("o1"))
            return await super().run(invocation, progress)

    harness = Executor(Looking(), OrderMemory.load(file))
    said = harness.said
    await harness.order("reboot", by="anna")
    await until_answered(harness)
    assert found == [True]
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.DONE]
    assert harness.executor.leaving == "reboot ordered by anna"


async def test_a_harmless_order_touches_no_disk(tmp_path: Path) -> None:
    harness = Executor(FakeRunner(), OrderMemory.load(tmp_path / "orders.json"))
    await harness.order("uptime")
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # an empty directory, at once


UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES)


@pytest.mark.parametrize("number", UNWRITABLE)
@pytest.mark.parametrize("verb", ["reboot", "shutdown"])
async def test_a_board_that_cannot_write_still_obeys_the_order_that_may_save_it(
    tmp_path: Path, verb: str, number: int
) -> None:
    disk, volatile = tmp_path / "disk/orders.json", tmp_path / "run/orders.json"

    def replace(path: Path, content: bytes) -> None:
        if path == disk:
            raise OSError(number, os.strerror(number))
        atomic.replace(path, content)

    memory = OrderMemory(disk, replace=replace, volatile=volatile)
    harness = Executor(FakeRunner(), memory)
    await harness.order(verb, by="anna")
    done = await until_answered(harness)
    assert done.phase is Phase.DONE
    running = next(one for one in harness.said if one.phase is Phase.RUNNING)
    for answer in (running, done):
        assert os.strerror(number) in answer.stdout
        assert "could not be kept on disk" in answer.stdout
    assert harness.executor.leaving == f"{verb} ordered by anna"
    assert OrderMemory.load(disk, volatile).seen("o1")


async def test_a_reboot_is_obeyed_even_where_its_id_can_be_kept_nowhere() -> None:
    harness = Executor(FakeRunner(), FullDisk())
    await harness.order("reboot")
    assert (await until_answered(harness)).phase is Phase.DONE
    assert "No space left on device" in harness.said[-1].stdout
    assert await harness.order("reboot") == []  # it is remembered all the same


async def test_a_disk_that_hangs_holds_up_no_reboot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    awake = threading.Event()

    class Hanging(OrderMemory):
        def keep(self, order_id: str) -> str:
            awake.wait(30)
            return super().keep(order_id)

    monkeypatch.setattr(order_executor, "KEEP_WITHIN_S", 0.05)
    harness = Executor(FakeRunner(), Hanging())
    await harness.order("reboot")
    assert (await until_answered(harness)).phase is Phase.DONE
    assert "longer than 0.05 s" in harness.said[-1].stdout
    awake.set()


async def test_an_order_that_comes_while_the_agent_ends_is_refused(
    busy: Executor,
) -> None:
    await busy.order("uptime")
    stopping = asyncio.create_task(busy.executor.stop())
    await asyncio.sleep(0)
    (refused,) = [one for one in await busy.order("uptime", id="o2") if one.id == "o2"]
    assert refused.error == "the agent is ending"
    await stopping


async def test_a_reboot_that_failed_is_no_reason_to_leave(harness: Executor) -> None:
    harness.runner.outcomes["reboot"] = Outcome(exit_code=1)
    await harness.order("reboot")
    assert (await until_answered(harness)).phase is Phase.FAILED
    assert harness.executor.leaving == ""


async def test_only_so_many_programs_run_at_once(busy: Executor) -> None:
    for number in range(3):
        await busy.order("uptime", id=str(number))
    assert len(busy.runner.invocations) == 2
    assert phases(busy.said).count(Phase.RUNNING) == 2
    assert isinstance(busy.runner, HeldRunner)
    busy.runner.release.set()
    await turns()
    assert phases(busy.said).count(Phase.DONE) == 3


async def test_an_order_that_waited_too_long_for_its_turn_expires(
    busy: Executor,
) -> None:
    for number in range(2):
        await busy.order("uptime", id=str(number))
    said = await busy.order("uptime", id="late", ttl_s=1e-9)
    for _ in range(1000):
        if phases(said)[-1].final:
            break
        await asyncio.sleep(0)
        said = busy.said[-2:]
    assert phases(said) == [Phase.ACCEPTED, Phase.EXPIRED]


async def test_a_flood_of_orders_is_refused_not_piled_up(busy: Executor) -> None:
    for number in range(WAITING):
        await busy.order("uptime", id=str(number))
    (refused,) = await busy.order("uptime", id="one too many")
    assert refused.phase is Phase.REFUSED
    assert "under way already" in refused.error


async def test_who_waits_when_the_agent_stops_gets_an_answer(busy: Executor) -> None:
    await busy.order("uptime")
    await busy.executor.stop()
    assert busy.said[-1].phase is Phase.FAILED
    assert busy.said[-1].error == "the agent was stopped"
    await busy.executor.stop()


async def test_a_runner_that_breaks_fails_the_order_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FakeRunner):
        async def run(
            self,
            invocation: Invocation,
            progress: Progress = silently,  # noqa: ARG002  # of the Protocol
        ) -> Outcome:
            raise RuntimeError(invocation.verb)

    harness = Executor(Broken())
    last = (await harness.order("uptime"))[-1]
    assert (last.phase, last.error) == (Phase.FAILED, "RuntimeError: uptime")
    assert phases(await harness.order("ping", id="o2")) == [Phase.DONE]
    assert caplog.records


async def test_the_output_of_what_runs_long_is_told_meanwhile() -> None:
    class Chatty(FakeRunner):
        async def run(
            self, invocation: Invocation, progress: Progress = silently
        ) -> Outcome:
            progress("Unpacking libssl3")
            return await super().run(invocation, progress)

    said = await Executor(Chatty()).order("uptime")
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.RUNNING, Phase.DONE]
    assert said[2].stdout == "Unpacking libssl3"


async def test_an_alias_that_fails_does_not_hide_why_the_board_goes_down() -> None:
    held = HeldRunner()
    held.outcomes["uptime"] = Outcome(exit_code=1)
    harness = Executor(held)
    await harness.order("reboot", by="anna")
    while not held.invocations:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    await harness.order("uptime", id="o2")
    held.outcomes["reboot"] = Outcome(exit_code=0)
    held.release.set()
    await turns()
    assert harness.said[-1].phase.final
    assert harness.executor.leaving == "reboot ordered by anna"


async def test_a_duration_is_told_in_whole_milliseconds(harness: Executor) -> None:
    harness.runner.outcomes["uptime"] = Outcome(
        exit_code=0, duration_s=0.00941781800065
    )
    said = await harness.order("uptime")
    assert said[-1].duration_s == 0.009


async def test_an_agent_nobody_would_start_again_does_not_end(
    harness: Executor,
) -> None:
    assert "restart-agent" not in {one.verb for one in await harness.executor.probe()}
    (refused,) = await harness.order("restart-agent")
    assert refused.phase is Phase.REFUSED
    assert refused.error == "nothing would start this agent again"


async def test_a_restart_is_on_disk_and_answered_before_the_agent_ends(
    tmp_path: Path,
) -> None:
    file = tmp_path / "orders.json"
    found: list[tuple[bool, Phase]] = []

    def restart() -> None:
        found.append((OrderMemory.load(file).seen("o1"), ours.said[-1].phase))

    ours = Executor(FakeRunner(), OrderMemory.load(file), restart)
    assert "restart-agent" in {one.verb for one in await ours.executor.probe()}
    await ours.order("restart-agent", by="anna")
    await until_answered(ours)
    assert found == [(True, Phase.DONE)]
    assert ours.executor.leaving == "restart-agent ordered by anna"
    again = Executor(FakeRunner(), OrderMemory.load(file), restart)
    assert await again.order("restart-agent") == []
    assert len(found) == 1


async def test_a_restart_whose_id_cannot_be_kept_is_not_obeyed() -> None:
    restarts: list[None] = []
    harness = Executor(FakeRunner(), FullDisk(), lambda: restarts.append(None))
    await harness.order("restart-agent")
    assert (await until_answered(harness)).phase is Phase.REFUSED
    assert restarts == []


async def test_a_restart_does_not_cut_off_the_answer_to_a_reboot() -> None:
    restarts: list[None] = []
    held = HeldRunner()
    harness = Executor(held, restart=lambda: restarts.append(None))
    await harness.order("reboot")
    while not held.invocations:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    (refused,) = await harness.order("restart-agent", id="o2")
    assert refused.error == "reboot is under way; its answer would be lost"
    held.release.set()
    await turns()
    await harness.order("restart-agent", id="o3")
    await until_answered(harness)
    assert restarts == [None]


async def test_what_is_withheld_is_refused_with_the_reason() -> None:
    harness = Executor(FakeRunner(), withheld={"reboot": "a demo runs here"})
    await harness.executor.probe()
    assert harness.executor.probed.obstacles == {"reboot": "a demo runs here"}
    (refused,) = await harness.order("reboot")
    assert refused.error == "reboot cannot work on this node: a demo runs here"


async def test_what_is_withheld_is_refused_before_anything_was_probed() -> None:
    harness = Executor(FakeRunner(), withheld={"reboot": "a demo runs here"})
    (refused,) = await harness.order("reboot")
    assert refused.error == "reboot is withheld: a demo runs here"
    assert harness.runner.invocations == []
