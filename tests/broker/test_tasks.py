"""Background tasks: failures are seen, what must live lives, and all end together."""

import asyncio
import logging

import pytest

from broker.common import tasks


@pytest.fixture(autouse=True)
def no_deaths_left() -> None:
    tasks.deaths.clear()


async def fail() -> None:
    text = "out of luck"
    raise RuntimeError(text)


async def test_a_task_that_fails_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        task = tasks.spawn("count the boards", fail())
        await asyncio.wait({task})
        await asyncio.sleep(0)
    assert "count the boards failed" in caplog.text
    assert tasks.deaths[-1] == "count the boards: RuntimeError('out of luck')"
    tasks.deaths.clear()


async def test_a_cancelled_task_is_no_failure() -> None:
    task = tasks.spawn("wait", asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert not tasks.deaths


async def test_what_must_live_is_started_again_after_a_failure() -> None:
    starts = 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts < 3:
            await fail()

    await tasks.keep_running("listen", work, first_pause_s=0.001)
    assert starts == 3
    assert len(tasks.deaths) == 2
    tasks.deaths.clear()


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
    assert not tasks.deaths
