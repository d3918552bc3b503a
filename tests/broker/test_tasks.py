"""Background tasks: failures are seen, what must live lives, and all end together."""

import asyncio
import logging

import pytest

from broker.common import tasks


async def fail() -> None:
    text = "out of luck"
    raise RuntimeError(text)


@pytest.mark.dead_tasks
async def test_a_task_that_fails_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        task = tasks.spawn("count the boards", fail())
        await asyncio.wait({task})
        await asyncio.sleep(0)
    assert "count the boards failed" in caplog.text
    assert tasks.failures[-1] == "count the boards: RuntimeError('out of luck')"


async def test_a_cancelled_task_is_no_failure() -> None:
    task = tasks.spawn("wait", asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert not tasks.failures


@pytest.mark.dead_tasks
async def test_what_must_live_is_started_again_after_a_failure() -> None:
    starts = 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            await fail()

    await tasks.keep_running("listen", work, first_pause_s=0.001)
    assert starts == 3
    assert len(tasks.failures) == 2


async def test_settle_returns_when_a_task_ended_in_the_same_turn() -> None:
    mine = tasks.Tasks()
    done = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await done

    _ = mine.spawn("work", work())
    done.set_result(None)
    await asyncio.wait_for(mine.settle(), 1)
    assert len(mine) == 0


async def test_stop_ends_every_task_and_twice_is_fine() -> None:
    mine = tasks.Tasks(at_most=2)
    _ = mine.spawn("one", asyncio.sleep(60))
    _ = mine.keep_running("two", lambda: asyncio.sleep(60))
    assert mine.full
    await mine.stop()
    await mine.stop()
    assert len(mine) == 0
    assert not tasks.failures


async def test_stop_ends_what_its_tasks_start_while_they_end() -> None:
    mine = tasks.Tasks()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            _ = mine.spawn("one more", asyncio.sleep(60))

    _ = mine.spawn("work", work())
    await asyncio.sleep(0)
    await asyncio.wait_for(mine.stop(), 1)
    assert len(mine) == 0


async def test_a_task_may_stop_the_owner_it_belongs_to() -> None:
    mine = tasks.Tasks()
    await asyncio.wait_for(mine.spawn("leave", mine.stop()), 1)


async def test_the_first_of_several_ends_the_others() -> None:
    async def one() -> int:
        return 1

    assert await tasks.first(asyncio.sleep(60), one()) == [None, 1]
    with pytest.raises(RuntimeError, match="out of luck"):
        await tasks.first(asyncio.sleep(60), fail())
    assert not tasks.failures


async def test_what_is_seen_through_ends_although_its_caller_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = asyncio.Event()

    async def write() -> None:
        await go_on.wait()
        await fail()

    with pytest.raises(RuntimeError, match="out of luck"):
        await tasks.run_to_end("fail at once", fail())
    caller = asyncio.create_task(tasks.run_to_end("write", write()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    assert not caplog.text
    go_on.set()
    await asyncio.sleep(0.01)
    assert "write failed" in caplog.text
