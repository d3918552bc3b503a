"""Background tasks that never die in silence.

Every task of the product is made here: ``spawn`` for one that ends by itself,
``keep_running`` for one that must live. An exception is logged with its traceback and
counted in ``failures``, which the tests look at after each of them.
"""

import asyncio
import collections
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from broker.common.log import RateLimited

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
"""Between two starts of a task that must live, doubled each time."""
STEADY_S = 60.0
"""A task that lived this long starts with the first pause again."""

_lines: dict[str, RateLimited] = {}

counts: collections.Counter[str] = collections.Counter()
"""How many tasks and steps failed since the start, for a service to publish."""

failures: collections.deque[str] = collections.deque(maxlen=100)
"""The last tasks that ended with an exception, as ``name: exception``."""


def reset() -> None:
    """Clears the counts, as a test does before it begins."""
    failures.clear()
    counts.clear()
    _lines.clear()


def spawn(name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Runs a coroutine in the background; a failure is logged and counted.

    The caller keeps the task and cancels it when it stops: a ``Tasks`` does both.

    Args:
        name: What the task does, for the log.
        work: The coroutine.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_note_end)
    return task


def keep_running(
    name: str,
    make: Callable[[], Coroutine[Any, Any, None]],
    *,
    first_pause_s: float = FIRST_PAUSE_S,
) -> asyncio.Task[None]:
    """Runs a coroutine function in the background, again after each failure.

    Returns without starting it again when the coroutine returns.

    Args:
        name: What the task does, for the log.
        make: Makes the coroutine, once for each start.
        first_pause_s: Seconds before the first new start; doubled up to a minute.
    """
    return spawn(name, _again_and_again(name, make, first_pause_s))


async def run_to_end(name: str, work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, even if the caller is cancelled meanwhile.

    Its failure is then logged; otherwise it is the caller's.

    Args:
        name: What it does, for the log.
        work: The coroutine.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_end)
        raise


async def first(*waiting: Coroutine[Any, Any, Any]) -> list[Any]:
    """Waits for the first of several to end, and cancels the others.

    Returns:
        The result of each in its place; None for those that had not ended.

    Raises:
        Exception: What the first one raised.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(one) for one in waiting]  # failures are the caller's
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [task.result() if task.done() else None for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def log_failures(name: str) -> Iterator[None]:
    """Lets one step of many fail: it is logged and counted, and the next one begins.

    Args:
        name: What the step does; from a small closed set, because each is logged once
            a minute at most.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  # logged and counted, as of a task
        log_failure(name, error)


def log_failure(name: str, error: Exception) -> None:
    """Logs and counts an exception that was caught, as one of a task.

    Args:
        name: What failed; from a small closed set, as for ``log_failures``.
        error: How.
    """
    _count(name, error)
    line = _lines.get(name)
    if line is None:
        line = _lines[name] = RateLimited(log, logging.ERROR, every_s=60.0)
    line.say("%s failed", name, exc_info=error)


class Tasks:
    """The background tasks of one owner, which end with it.

    Args:
        at_most: How many may run at once; None: its owner bounds them.
    """

    def __init__(self, at_most: int | None = None) -> None:
        self._at_most = at_most
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """Whether no further task may be started now."""
        return self._at_most is not None and len(self._tasks) >= self._at_most

    def spawn(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs a coroutine in the background; see ``spawn``."""
        return self._add(spawn(name, work))

    def keep_running(
        self, name: str, make: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Runs what must live in the background; see ``keep_running``."""
        return self._add(keep_running(name, make))

    async def settle(self) -> None:
        """Waits until no task runs, those included that the running ones start."""
        while self._tasks:
            # gather() of tasks that are done is itself done at once since Python 3.12:
            # a loop around it would never let their callbacks run.
            await asyncio.wait(self._tasks)
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Cancels every task, those too that they start while they end; twice is fine.

        A task may stop its own owner: it is left to end by itself.
        """
        own = asyncio.current_task()
        while ending := {task for task in self._tasks if task is not own}:
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)
            await asyncio.sleep(0)

    def _add(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _again_and_again(
    name: str, make: Callable[[], Coroutine[Any, Any, None]], first_pause_s: float
) -> None:
    loop = asyncio.get_running_loop()
    pause_s = first_pause_s
    while True:
        began = loop.time()
        try:
            await make()
        except Exception as error:
            _count(name, error)
            log.exception("%s failed; it starts again in %.0f s", name, pause_s)
        else:
            return
        if loop.time() - began >= STEADY_S:
            pause_s = first_pause_s
        await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311  # jitter
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _note_end(task: asyncio.Task[Any]) -> None:
    error = _log_end(task)
    if error is not None:
        _count(task.get_name(), error)


def _log_end(task: asyncio.Task[Any]) -> BaseException | None:
    """Logs how a task failed, and returns it; None: it did not fail."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("background task %s failed", task.get_name(), exc_info=error)
    return error


def _count(name: str, error: BaseException) -> None:
    failures.append(f"{name}: {error!r}")
    counts["background tasks that failed"] += 1
