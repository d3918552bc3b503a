"""An order to shut down that cannot be sent: nobody is cut for it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from broker.contract.messages import Power, Verdict

if TYPE_CHECKING:
    import pytest

    from tests.master_service.bench import Bench


async def test_a_board_whose_order_could_not_be_sent_is_not_cut(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.master._store  # noqa: SLF001  # the disk is what fails here
    commit, full = store.commit, ["disk is full"]

    async def failing() -> None:
        if full:
            raise sqlite3.OperationalError(full.pop())
        await commit()

    monkeypatch.setattr(store, "commit", failing)
    await bench.ask("stack/1 power", "off confirm=stack/1")
    await bench.pass_time(5)
    assert bench.outlets.relays().switchings == ()
    assert bench.stack(1).power is Power.ON
    final = bench.final("stack/1 power")
    assert final.ok is False
    rows = {row.name: row.error for row in final.targets}
    for error in rows.values():
        assert "could not be told to shut down: not begun: it could not be put" in error
        assert "disk is full; `power off force` cuts all the same" in error
    assert bench.node("pi-11").verdict is Verdict.ONLINE
