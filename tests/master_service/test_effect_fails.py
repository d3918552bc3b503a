"""An effect that fails unforeseen: the others are done, and the receipt tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Phase, Power
from master_service.rack.records import OutletRecord

if TYPE_CHECKING:
    from master_service.rack.records import Record
    from tests.master_service.bench import Bench


@pytest.mark.dead_tasks  # an effect that fails is noted
async def test_the_other_boards_get_their_orders_when_one_cannot_be_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    link = bench.master._link  # noqa: SLF001  # the broker's client is what fails here
    publish = link.publish

    def failing(topic: str, *args: object, **options: object) -> None:
        if topic.endswith("pi-11/order"):
            raise RuntimeError("broken")  # noqa: EM101  # any error will do
        publish(topic, *args, **options)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(link, "publish", failing)
    await bench.ask("rack temperature")
    assert [len(board.orders) for board in bench.boards.values()] == [0, 1, 1, 1]
    await bench.answer_all()
    rows = {row.name: row for row in bench.final("rack temperature").targets}
    assert rows["s01n1"].phase is Phase.NOT_DELIVERED
    assert "RuntimeError('broken')" in rows["s01n1"].error
    assert rows["s02n2"].phase is Phase.DONE
    assert "effect SendOrder failed" in caplog.text


@pytest.mark.dead_tasks  # an effect that fails is noted
async def test_a_command_whose_record_cannot_be_kept_is_answered_as_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_record: object) -> None:
        raise RuntimeError("broken")  # noqa: EM101  # any error will do

    store = bench.master._store  # noqa: SLF001  # the disk is what fails here
    monkeypatch.setattr(store, "put", failing)
    final = (await bench.ask("node/s01n1 name", "attic"))[-1]
    assert (final.phase, final.ok) == (Phase.FAILED, False)
    assert (
        "the master failed at Persist of NodeRecord: RuntimeError('broken')"
        in final.error
    )
    monkeypatch.undo()
    assert (await bench.ask("node/attic ping"))[-1].ok is not False


@pytest.mark.dead_tasks  # an effect that fails is noted
async def test_an_outlet_whose_record_cannot_be_kept_is_not_switched_the_others_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.master._store  # noqa: SLF001  # the disk is what fails here
    put = store.put

    def failing(row: Record) -> None:
        match row:
            case OutletRecord(name="stack-1", wanted=Power.OFF):
                raise RuntimeError("broken")  # noqa: EM101  # any error will do
        put(row)

    monkeypatch.setattr(store, "put", failing)
    for board in bench.boards.values():
        board.shut_down()
    await bench.pass_time(2)
    await bench.ask("rack power", "off confirm=rack")
    await bench.pass_time(15)  # the cards of boards that left just now have settle_s
    switched = [(one.outlet, one.on) for one in bench.outlets.relays().switchings]
    assert switched == [("stack-2", False)]
    assert "RuntimeError('broken')" in bench.final("rack power").error
