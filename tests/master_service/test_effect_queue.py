"""The queue of effects: one order over all lists, and nothing begins after a stop."""

from __future__ import annotations

import asyncio
import sqlite3
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract.messages import Phase, TargetRow
from broker.contract.topics import Scope, ScopeKind
from master_service import effect_runner
from master_service.commands.parse import read
from master_service.effect_runner import EffectRunner
from master_service.rack.command import AskedCommand
from master_service.rack.effects import (
    Commit,
    Effect,
    Persist,
    Route,
    SendReply,
    SwitchOutlet,
)
from master_service.rack.records import CommandBegun, CommandEnded, PartRecord
from master_service.rack.times import Moment


class Disk:
    """A store whose commits take as long as the test likes."""

    def __init__(self, log: list[object]) -> None:
        self._log = log
        self._queued: list[object] = []
        self.on_disk: list[object] = []
        self.commits = 0
        self.errors: list[str] = []
        self.gate: asyncio.Event | None = None
        self._turn = asyncio.Lock()

    def put(self, row: object) -> None:
        self._queued.append(row)

    async def commit(self) -> None:
        async with self._turn:
            await self._commit()

    async def _commit(self) -> None:
        self.commits += 1
        written = list(self._queued)
        await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        if self.errors:
            raise sqlite3.OperationalError(self.errors.pop())
        del self._queued[: len(written)]
        self.on_disk += written
        self._log += [("disk", row) for row in written]


class Stage:
    """An ``EffectRunner`` between a slow disk and what notes everything it is told."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.disk = Disk(self.log)
        self.replies: list[Any] = []
        outlet = SimpleNamespace(row=SimpleNamespace(stack=1))
        panel = SimpleNamespace(outlets={"stack-1": outlet})
        parts = {
            name: cast("Any", SimpleNamespace())
            for name in ("router", "prober", "link", "publisher")
        }
        dispatcher = SimpleNamespace(halt=lambda: None, replied=lambda _reply: None)
        self.runner = EffectRunner(
            rack=cast("Any", SimpleNamespace(topics=None, panel=panel)),
            dispatcher=cast("Any", dispatcher),
            store=cast("Any", self.disk),
            switcher=cast("Any", self),
            moment=lambda: Moment(0.0, 0.0),
            settled=lambda: None,
            **parts,
        )
        self.runner.replies = cast("Any", self)
        self.runner._switch = self._switch  # type: ignore[method-assign]  # noqa: SLF001  # what a switching does is tested elsewhere

    def publish(self, answer: SendReply) -> None:
        self.replies.append(answer.reply)
        self.log.append(("reply", answer.reply.id, answer.reply.phase))

    def halt(self) -> None:
        """No attempt is under way."""

    async def _switch(self, effect: SwitchOutlet, obstacle: str) -> None:
        self.log.append(("switch", effect.outlet, obstacle))


def answer(command_id: str, phase: Phase = Phase.DONE) -> SendReply:
    route = Route(Scope(ScopeKind.RACK), "power")
    asked = AskedCommand(command_id, read(b""), route, Moment(0.0, 0.0))
    row = TargetRow(node="", name="x", phase=phase, verified=True)
    return SendReply(asked.reply(phase, ok=True, targets=(row,), verified=True), route)


def part(command_id: str, step: str) -> PartRecord:
    return PartRecord(
        id=command_id, verb="power", scope="rack", outlet="stack-1", step=step
    )


async def test_a_part_of_one_list_never_comes_back_after_another_list_dropped_it() -> (
    None
):
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    late = Persist(part("two", "feeding"))
    stage.runner.perform([Persist(part("one", "cutting")), Commit(), late])
    await asyncio.sleep(0)
    stage.runner.perform([answer("two"), Persist(CommandEnded("two")), Commit()])
    stage.disk.gate.set()
    await stage.runner.settle()
    assert stage.disk.on_disk == [
        part("one", "cutting"),
        part("two", "feeding"),
        CommandEnded("two"),
    ]


async def test_a_last_reply_is_sent_before_its_command_is_gone_from_disk() -> None:
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    stage.runner.perform(
        [Persist(CommandBegun("one")), Commit(), answer("one", Phase.ACCEPTED)]
    )
    stage.runner.perform([answer("two"), Persist(CommandEnded("two")), Commit()])
    stage.disk.gate.set()
    await stage.runner.settle()
    ended = stage.log.index(("disk", CommandEnded("two")))
    assert stage.log.index(("reply", "two", Phase.DONE)) < ended


async def test_five_hundred_commands_at_once_cost_a_few_writes() -> None:
    stage = Stage()
    for number in range(500):
        name = f"c{number}"
        begun: list[Effect] = [Persist(CommandBegun(name)), Commit(name)]
        stage.runner.perform([*begun, answer(name, Phase.ACCEPTED)])
    await stage.runner.settle()
    assert len(stage.disk.on_disk) == len(stage.replies) == 500
    assert stage.disk.commits <= 4
    for number in range(500):
        ended = Persist(CommandEnded(f"c{number}"))
        stage.runner.perform([answer(f"c{number}"), ended, Commit()])
    await stage.runner.settle()
    assert stage.disk.commits <= 8


async def test_what_is_not_on_disk_is_neither_accepted_nor_done_nor_switched() -> None:
    stage = Stage()
    stage.disk.errors = ["disk is full"]
    stage.runner.perform(
        [
            Persist(CommandBegun("one")),
            Commit("one"),
            answer("one", Phase.ACCEPTED),
            SwitchOutlet("stack-1", on=False),
            answer("other"),
            answer("one"),
        ]
    )
    await stage.runner.settle()
    other, one = stage.replies
    assert (other.id, other.phase, other.ok) == ("other", Phase.DONE, True)
    assert (one.id, one.phase, one.ok, one.verified) == (
        "one",
        Phase.FAILED,
        False,
        False,
    )
    assert "disk is full" in one.error
    assert one.targets[0].phase is Phase.FAILED
    (switched,) = [line for line in stage.log if line[0] == "switch"]
    assert switched[2].startswith("not begun: it could not be put on disk first")


async def test_a_disk_that_does_not_answer_holds_nothing_up_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effect_runner, "COMMIT_S", 0.01)
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    stage.runner.perform([Persist(CommandBegun("one")), Commit("one"), answer("one")])
    await stage.runner.settle()
    assert "the disk did not answer" in stage.replies[0].error


async def test_a_full_queue_drops_replies_and_counts_them_but_no_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effect_runner, "WAITING_AT_MOST", 10)
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    first: list[Effect] = [Persist(CommandBegun("one")), Commit(), answer("one")]
    stage.runner.perform(first)
    for number in range(100):
        stage.runner.perform([answer("x"), Persist(CommandBegun(f"c{number}"))])
    assert stage.runner.dropped > 80
    assert stage.runner.waiting <= 10 + 100
    stage.disk.gate.set()
    await stage.runner.settle()
    stage.runner.perform([Persist(CommandBegun("last")), Commit()])
    await stage.runner.settle()
    assert len(stage.disk.on_disk) == 102


async def test_nothing_begins_to_switch_once_it_stops() -> None:
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    stage.runner.perform(
        [Persist(part("one", "cutting")), Commit(), SwitchOutlet("stack-1", on=False)]
    )
    await asyncio.sleep(0)
    stopping = asyncio.create_task(stage.runner.stop())
    await asyncio.sleep(0)
    stage.disk.gate.set()
    await asyncio.wait_for(stopping, 10)
    stage.runner.perform([SwitchOutlet("stack-1", on=False)])
    await stage.runner.settle()
    assert [line for line in stage.log if line[0] == "switch"] == []
    assert stage.disk.on_disk == [part("one", "cutting")]


async def test_a_stop_does_not_wait_for_a_disk_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(effect_runner, "STOP_COMMIT_S", 0.01)
    stage = Stage()
    stage.disk.gate = asyncio.Event()
    stage.runner.perform([Persist(part("one", "x")), Commit(), answer("one")])
    await asyncio.wait_for(stage.runner.stop(), 10)
    await stage.runner.stop()
    assert stage.replies == []


ROWS = st.one_of(
    st.builds(CommandBegun, st.sampled_from("abc")),
    st.builds(CommandEnded, st.sampled_from("abc")),
    st.builds(part, st.sampled_from("abc"), st.sampled_from(("cutting", "feeding"))),
)
LISTS = st.lists(
    st.lists(
        st.one_of(
            st.builds(Persist, ROWS),
            st.builds(Commit),
            st.builds(answer, st.sampled_from("abc")),
            st.builds(SwitchOutlet, st.just("stack-1"), on=st.booleans()),
        ),
        max_size=6,
    ),
    max_size=12,
)


@given(lists=LISTS, pauses=st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_the_order_on_disk_is_the_order_of_arrival_over_all_lists(
    lists: list[list[Effect]], pauses: list[int]
) -> None:
    asyncio.run(_in_order(lists, pauses))


async def _in_order(lists: list[list[Effect]], pauses: list[int]) -> None:
    stage = Stage()
    for effects, pause in zip(lists, pauses, strict=False):
        stage.runner.perform(effects)
        for _ in range(pause):
            await asyncio.sleep(0)
    await stage.runner.settle()
    stage.runner.perform([Commit()])
    await stage.runner.settle()
    flat = [effect for effects in lists for effect in effects]
    rows = [effect.row for effect in flat if isinstance(effect, Persist)]
    assert stage.disk.on_disk == rows
    replies = [one.reply for one in flat if isinstance(one, SendReply)]
    assert stage.replies == replies
    _check_gates(lists, stage.log)


def _check_gates(lists: list[list[Effect]], log: list[Any]) -> None:
    """Every switch comes after the rows before the last commit before it."""
    on_disk = 0
    gates: list[int] = []
    rows = 0
    for effects in lists:
        gate = 0
        for effect in effects:
            rows += isinstance(effect, Persist)
            if isinstance(effect, Commit):
                gate = rows
            if isinstance(effect, SwitchOutlet):
                gates.append(gate)
    switches = 0
    for line in log:
        on_disk += line[0] == "disk"
        if line[0] == "switch":
            assert on_disk >= gates[switches]
            switches += 1
    assert switches == len(gates)
