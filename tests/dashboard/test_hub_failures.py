"""What fails in one tab or one tick stays there."""

import asyncio
import json

import pytest

from dashboard.live.hub import TickPace
from tests.dashboard.conftest import Bench


def test_a_tab_that_cannot_be_told_does_not_disturb_the_others(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    (broken, silent), *rest = (bench.view() for _ in range(3))
    broken.push("receipts", object())  # cannot become JSON, however often it is tried

    for beat in range(3):
        bench.node(name=f"s01n{beat}")
        bench.hub.tick()

    for _, port in rest:
        assert [number for number, *_ in port.sent] == [0, 1, 2]
    assert silent.sent == []
    assert caplog.text.count("sending to a tab of ada failed") == 1


def test_a_tab_that_can_be_told_again_begins_with_everything(bench: Bench) -> None:
    _, port = bench.view()
    keep = port.send

    def stumble(*_: object) -> None:
        port.send = keep  # type: ignore[method-assign]  # a port that fails once
        text = "broken"
        raise RuntimeError(text)

    port.send = stumble  # type: ignore[assignment,method-assign]  # a port that fails once
    bench.hub.tick()
    bench.hub.tick()

    ((number, shared, _),) = port.sent
    assert number == 0
    assert json.loads(shared)["snapshot"]


@pytest.mark.dead_tasks
async def test_one_bad_tick_does_not_end_the_pages(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    _, port = bench.view()
    bench.hub.tick()
    bench.hub.pace = TickPace(0)
    tick, healed = bench.hub.tick, asyncio.Event()

    def stumble() -> None:
        bench.hub.tick = heal  # type: ignore[method-assign]  # a tick that fails once
        text = "broken"
        raise RuntimeError(text)

    def heal() -> None:
        tick()
        healed.set()

    bench.hub.tick = stumble  # type: ignore[method-assign]  # a tick that fails once
    running = asyncio.create_task(bench.hub.run())
    async with asyncio.timeout(30):
        await healed.wait()
    running.cancel()

    assert "tick of the page failed" in caplog.text
    assert json.loads(port.sent[1][1])["snapshot"]
