"""A publish that fails, whichever it is, costs that message and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from broker.client.fake import PublishFailure
from broker.contract.messages import Phase
from broker.contract.topics import NodeLeaf
from tests.master_service.bench import Bench, T

COMMAND = "rack ping"


async def played(bench: Bench, failure: PublishFailure, after: int) -> int:
    """Play a while in which one publish of the master fails; return how many came."""
    bench.broker.fail(failure, client_id="master", after=after)
    await bench.master.start()
    await bench.all_come()
    await bench.ask(COMMAND)
    await bench.answer_all()
    bench.boards["pi-11"].die()
    bench.broker.publish(T.node("pi-12", NodeLeaf.DETAILS), b"{", qos=1, retain=True)
    await bench.ask("stack/2 power", "off")
    for _ in range(4):
        await bench.pass_time(5)
        await bench.answer_all()
        bench.broker.reconnect("master")
    await bench.pass_time(90)
    return sum(1 for one in bench.broker.published if "/node/pi-" not in one.topic)


@pytest.mark.parametrize("failure", PublishFailure)
@pytest.mark.parametrize("after", [*range(24), 30, 37, 45])
async def test_the_master_goes_on_whichever_publish_fails(
    tmp_path: Path, failure: PublishFailure, after: int
) -> None:
    bench = Bench(tmp_path)
    await played(bench, failure, after)
    link = bench.master._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.listener_errors.counts == {}
    await bench.ask(COMMAND)  # of the last cases, this one is hit
    bench.broker.reconnect("master")
    await bench.pass_time(60)
    await bench.ask(COMMAND)
    await bench.answer_all()
    await bench.pass_time(60)
    assert bench.final(COMMAND).phase in {Phase.DONE, Phase.FAILED}
    await bench.master.stop()


async def test_a_last_reply_that_found_the_queue_full_comes_when_there_is_room(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    await bench.master.start()
    await bench.all_come()
    bench.broker.fail(PublishFailure.FULL, f"{T.prefix}/rack/reply/#", after=1, times=3)
    await bench.ask(COMMAND)
    await bench.answer_all()
    assert not any(reply.phase.final for reply in bench.replies(COMMAND))
    await bench.pass_time(5)
    assert bench.final(COMMAND).phase is Phase.DONE
    await bench.master.stop()


@pytest.mark.dead_tasks  # a step that fails counts as one
async def test_a_step_that_always_fails_keeps_no_other_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path)
    await bench.master.start()
    await bench.all_come()

    def fail(_now: float) -> Any:  # noqa: ANN401  # it returns nothing
        text = "a bug"
        raise RuntimeError(text)

    # What fails is a part of the master itself, which no fake stands for.
    monkeypatch.setattr(bench.master._poller, "due", fail)  # noqa: SLF001  # as said
    await bench.pass_time(30)
    await bench.ask(COMMAND)
    await bench.answer_all()
    await bench.pass_time(5)
    assert bench.final(COMMAND).phase is Phase.DONE
    assert bench.node("pi-11").verdict == "online"
    assert caplog.text.count("_read_outlets failed") == 1, "not four times a second"
    assert bench.rack.errors["background tasks that failed"] >= 30
    await bench.master.stop()
