"""One timer for everything."""

import asyncio

from node_agent.simulator.simulated_node import Scheduler


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_due_is_done_in_order_and_once() -> None:
    clock, done = Clock(), list[str]()
    scheduler = Scheduler(clock)
    scheduler.after(2.0, lambda: done.append("second"))
    scheduler.after(1.0, lambda: done.append("first"))
    scheduler.after(2.0, lambda: done.append("third"))
    scheduler.run_due()
    assert done == []
    clock.now_s = 2.0
    scheduler.run_due()
    scheduler.run_due()
    assert done == ["first", "second", "third"]


def test_a_step_that_fails_does_not_stop_the_next() -> None:
    clock, done = Clock(), list[str]()
    scheduler = Scheduler(clock)

    def fail() -> None:
        done.append("x")
        raise OSError

    scheduler.after(0.0, fail)
    scheduler.after(0.0, lambda: done.append("y"))
    scheduler.run_due()
    assert done == ["x", "y"]


def test_what_was_forgotten_is_not_done() -> None:
    clock, done = Clock(), list[str]()
    scheduler = Scheduler(clock)
    scheduler.after(1.0, lambda: done.append("x"))
    scheduler.stop()
    clock.now_s = 5.0
    scheduler.run_due()
    assert done == []


async def test_a_sleeper_wakes_by_this_clock_and_may_be_cancelled_before() -> None:
    clock = Clock()
    scheduler = Scheduler(clock)
    sleeper = asyncio.create_task(scheduler.sleep(5.0))
    other = asyncio.create_task(scheduler.sleep(5.0))
    await asyncio.sleep(0)
    other.cancel()
    await asyncio.sleep(0)
    clock.now_s = 5.0
    scheduler.run_due()
    await sleeper
    assert other.cancelled()


async def test_the_loop_runs_it_once_it_is_started() -> None:
    loop = asyncio.get_running_loop()
    scheduler = Scheduler(loop.time)
    scheduler.start()
    try:
        await asyncio.wait_for(scheduler.sleep(0.0), 30.0)
    finally:
        scheduler.stop()
