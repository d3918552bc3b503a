"""Orders judged, answered and performed, without a broker."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from broker.common import atomic
from broker.contract.messages import Order, Phase
from node_agent import order_desk
from node_agent.fake_clock import turns
from node_agent.order_desk import WAITING
from node_agent.order_memory import OrderMemory
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently
from tests.node_agent.office import Full, Held, Office, phases, until_answered


async def test_an_order_is_acknowledged_begun_and_done(office: Office) -> None:
    office.runner.outcomes["uptime"] = Outcome(
        exit_code=0, stdout="up 5 days", stderr="w", truncated=True, duration_s=1.5
    )
    said = await office.order("uptime", id="abc")
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.DONE]
    last = said[-1]
    assert (last.id, last.verb, last.exit_code) == ("abc", "uptime", 0)
    assert (last.stdout, last.stderr) == ("up 5 days", "w")
    assert (last.truncated, last.duration_s) == (True, 1.5)


async def test_a_program_that_fails_says_its_exit_code(office: Office) -> None:
    office.runner.outcomes["uptime"] = Outcome(exit_code=3, stderr="no such thing")
    last = (await office.order("uptime"))[-1]
    assert (last.phase, last.exit_code, last.error) == (Phase.FAILED, 3, "exit code 3")


async def test_a_program_that_was_ended_did_not_succeed(office: Office) -> None:
    outcome = Outcome(exit_code=0, timed_out=True, error="took longer than 30 s")
    office.runner.outcomes["uptime"] = outcome
    last = (await office.order("uptime"))[-1]
    assert (last.phase, last.error) == (Phase.FAILED, "took longer than 30 s")


async def test_arguments_reach_the_program(office: Office) -> None:
    await office.order("journal", "ssh")
    await office.order("run", "journal", "unit=cron", id="o2")
    argvs = [invocation.argv for invocation in office.runner.invocations]
    assert argvs == [("journalctl", "-u", "ssh"), ("journalctl", "-u", "cron")]


async def test_ping_and_refresh_are_answered_without_a_program(office: Office) -> None:
    assert phases(await office.order("ping")) == [Phase.DONE]
    assert phases(await office.order("refresh", id="o2")) == [Phase.DONE]
    assert office.refreshes == 1
    assert office.runner.invocations == []


async def test_a_copy_of_an_order_is_neither_run_nor_answered(office: Office) -> None:
    await office.order("uptime")
    assert await office.order("uptime") == []
    assert len(office.runner.invocations) == 1


async def test_a_retained_order_is_refused_and_its_id_may_be_sent_properly(
    office: Office,
) -> None:
    order = Order(id="o1", verb="reboot")
    office.desk.take(order, retained=True, wall_time=None)
    assert phases(office.said) == [Phase.REFUSED]
    assert "retained" in office.said[0].error
    await office.order("reboot")
    assert (await until_answered(office)).phase is Phase.DONE


async def test_an_unknown_verb_is_told_what_there_is(office: Office) -> None:
    await office.desk.probe()
    (refused,) = await office.order("dance")
    assert refused.phase is Phase.REFUSED
    assert refused.error == (
        "unknown verb 'dance'; this node can: "
        "ping, refresh, run, uptime, journal, reboot, shutdown, identify"
    )


async def test_what_cannot_work_is_not_offered_and_says_why(office: Office) -> None:
    office.runner.obstacles["identify"] = "this machine has no ACT light"
    abilities = await office.desk.probe()
    assert "identify" not in {ability.verb for ability in abilities}
    (refused,) = await office.order("identify")
    assert refused.phase is Phase.REFUSED
    assert refused.error == (
        "identify cannot work on this node: this machine has no ACT light"
    )
    assert office.runner.invocations == []


async def test_wrong_arguments_are_refused_before_anything_runs(office: Office) -> None:
    (refused,) = await office.order("journal")
    assert refused.phase is Phase.REFUSED
    assert refused.error == "journal takes unit=…, got 0 argument(s)"


async def test_run_does_not_go_round_the_rules_of_reboot(office: Office) -> None:
    (refused,) = await office.order("run", "reboot")
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

    office = Office(Looking(), OrderMemory.load(file))
    said = office.said
    await office.order("reboot", by="anna")
    await until_answered(office)
    assert found == [True]
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.DONE]
    assert office.desk.leaving == "reboot ordered by anna"


async def test_a_harmless_order_touches_no_disk(tmp_path: Path) -> None:
    office = Office(FakeRunner(), OrderMemory.load(tmp_path / "orders.json"))
    await office.order("uptime")
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
    office = Office(FakeRunner(), memory)
    await office.order(verb, by="anna")
    done = await until_answered(office)
    assert done.phase is Phase.DONE
    running = next(one for one in office.said if one.phase is Phase.RUNNING)
    for answer in (running, done):
        assert os.strerror(number) in answer.stdout
        assert "could not be kept on disk" in answer.stdout
    assert office.desk.leaving == f"{verb} ordered by anna"
    assert OrderMemory.load(disk, volatile).seen("o1")


async def test_a_reboot_is_obeyed_even_where_its_id_can_be_kept_nowhere() -> None:
    office = Office(FakeRunner(), Full())
    await office.order("reboot")
    assert (await until_answered(office)).phase is Phase.DONE
    assert "No space left on device" in office.said[-1].stdout
    assert await office.order("reboot") == []  # it is remembered all the same


async def test_a_disk_that_hangs_holds_up_no_reboot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    awake = threading.Event()

    class Hanging(OrderMemory):
        def keep(self, order_id: str) -> str:
            awake.wait(30)
            return super().keep(order_id)

    monkeypatch.setattr(order_desk, "KEEP_WITHIN_S", 0.05)
    office = Office(FakeRunner(), Hanging())
    await office.order("reboot")
    assert (await until_answered(office)).phase is Phase.DONE
    assert "longer than 0.05 s" in office.said[-1].stdout
    awake.set()


async def test_an_order_that_comes_while_the_agent_ends_is_refused(
    busy: Office,
) -> None:
    await busy.order("uptime")
    stopping = asyncio.create_task(busy.desk.stop())
    await asyncio.sleep(0)
    (refused,) = [one for one in await busy.order("uptime", id="o2") if one.id == "o2"]
    assert refused.error == "the agent is ending"
    await stopping


async def test_a_reboot_that_failed_is_no_reason_to_leave(office: Office) -> None:
    office.runner.outcomes["reboot"] = Outcome(exit_code=1)
    await office.order("reboot")
    assert (await until_answered(office)).phase is Phase.FAILED
    assert office.desk.leaving == ""


async def test_only_so_many_programs_run_at_once(busy: Office) -> None:
    for number in range(3):
        await busy.order("uptime", id=str(number))
    assert len(busy.runner.invocations) == 2
    assert phases(busy.said).count(Phase.RUNNING) == 2
    assert isinstance(busy.runner, Held)
    busy.runner.release.set()
    await turns()
    assert phases(busy.said).count(Phase.DONE) == 3


async def test_an_order_that_waited_too_long_for_its_turn_expires(busy: Office) -> None:
    for number in range(2):
        await busy.order("uptime", id=str(number))
    said = await busy.order("uptime", id="late", ttl_s=1e-9)
    for _ in range(1000):
        if phases(said)[-1].final:
            break
        await asyncio.sleep(0)
        said = busy.said[-2:]
    assert phases(said) == [Phase.ACCEPTED, Phase.EXPIRED]


async def test_a_flood_of_orders_is_refused_not_piled_up(busy: Office) -> None:
    for number in range(WAITING):
        await busy.order("uptime", id=str(number))
    (refused,) = await busy.order("uptime", id="one too many")
    assert refused.phase is Phase.REFUSED
    assert "under way already" in refused.error


async def test_who_waits_when_the_agent_stops_gets_an_answer(busy: Office) -> None:
    await busy.order("uptime")
    await busy.desk.stop()
    assert busy.said[-1].phase is Phase.FAILED
    assert busy.said[-1].error == "the agent was stopped"
    await busy.desk.stop()


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

    office = Office(Broken())
    last = (await office.order("uptime"))[-1]
    assert (last.phase, last.error) == (Phase.FAILED, "RuntimeError: uptime")
    assert phases(await office.order("ping", id="o2")) == [Phase.DONE]
    assert caplog.records


async def test_the_output_of_what_runs_long_is_told_meanwhile() -> None:
    class Chatty(FakeRunner):
        async def run(
            self, invocation: Invocation, progress: Progress = silently
        ) -> Outcome:
            progress("Unpacking libssl3")
            return await super().run(invocation, progress)

    said = await Office(Chatty()).order("uptime")
    assert phases(said) == [Phase.ACCEPTED, Phase.RUNNING, Phase.RUNNING, Phase.DONE]
    assert said[2].stdout == "Unpacking libssl3"


async def test_an_alias_that_fails_does_not_hide_why_the_board_goes_down() -> None:
    held = Held()
    held.outcomes["uptime"] = Outcome(exit_code=1)
    office = Office(held)
    await office.order("reboot", by="anna")
    while not held.invocations:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    await office.order("uptime", id="o2")
    held.outcomes["reboot"] = Outcome(exit_code=0)
    held.release.set()
    await turns()
    assert office.said[-1].phase.final
    assert office.desk.leaving == "reboot ordered by anna"


async def test_a_duration_is_told_in_whole_milliseconds(office: Office) -> None:
    office.runner.outcomes["uptime"] = Outcome(exit_code=0, duration_s=0.00941781800065)
    said = await office.order("uptime")
    assert said[-1].duration_s == 0.009
