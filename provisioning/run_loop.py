"""Takes a run from turn to turn: writes each one to disk, then does what it asks for.

One loop owns the run. Its messages go through one queue, so that nothing happens beside
something else, and each action is a task of its own.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from broker.common.log import RateLimited
from broker.common.tasks import Tasks
from broker.contract.messages import InstallState, InstallStep
from provisioning.common.errors import BusyError, JournalError
from provisioning.common.network import BoardHeard, ForeignServer
from provisioning.effects import InstallEffects
from provisioning.interfaces import Announcer, RunJournal
from provisioning.run import machine
from provisioning.run.messages import (
    Action,
    Effect,
    HistoryLine,
    LengthenLeases,
    Message,
    Tick,
)
from provisioning.run.report import run_state
from provisioning.run.state import InstallRun
from provisioning.run.transitions import Outcome

log = logging.getLogger(__name__)

KEEP_S = 5.0
"""Seconds between two attempts to write that a run was stopped."""

WAITING_AT_MOST = 1_000
"""Messages that wait for their turn, each of which is written to the disk."""


class RunLoop:
    """Owns the latest run.

    Args:
        now: Returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        journal: RunJournal,
        effects: InstallEffects,
        announcer: Announcer,
        now: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._effects = effects
        self._announcer = announcer
        self._announced: InstallState | None = None
        self._now = now
        self._run: InstallRun | None = None
        self._inbox: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self.dropped = RateLimited(log)
        """Counts what was heard on the network and found no room in the queue."""
        self._turn = asyncio.Lock()  # held from a decision until it is on disk
        self._tasks = Tasks()

    @property
    def run(self) -> InstallRun | None:
        """The latest run, over or not; None: there was none."""
        return self._run

    @property
    def live(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None and not self._run.over

    async def start(self) -> None:
        """Goes on with a run that was interrupted, and handles messages."""
        self._run = self._journal.last()
        await self._advance(None)
        _ = self._tasks.keep_running("install run", self._serve)

    async def stop(self) -> None:
        """Stops where it is: the next start goes on; calling it twice is fine."""
        await self._tasks.stop()

    async def begin(self, first: Callable[[float], Outcome]) -> str:
        """Begins a run and returns its id.

        Args:
            first: Takes monotonic seconds and returns the run's first turn.

        Raises:
            BusyError: One is under way.
            JournalError: It cannot be written.
        """
        async with self._turn:
            if self._run is not None and self.live:
                text = f"run {self._run.id} is at {self._run.step}; cancel it, or wait"
                raise BusyError(text)
            run, effects = first(self._now())
            await self._journal.save(run)
            self._show(run, effects)
            self.tell(Tick())  # the queue waits for the run before this one
            return run.id

    def tell(self, message: Message) -> None:
        """Queues a message for the run; without a run it is dropped.

        In a storm on the network the last messages of boards are dropped: boards ask
        again. Signs of other servers come by the same way.
        """
        if self._run is None or not self.live:
            return
        if isinstance(message, BoardHeard | ForeignServer) and (
            self._inbox.qsize() >= WAITING_AT_MOST
        ):
            self.dropped.say(
                "%d messages wait; what boards ask is dropped", WAITING_AT_MOST
            )
            return
        self._inbox.put_nowait((self._run.id, message))

    @contextlib.asynccontextmanager
    async def at_rest(self, what: str) -> AsyncIterator[None]:
        """Prevents a run from beginning while a person changes the latest one.

        Args:
            what: What can be done once no run is under way.

        Raises:
            BusyError: One is.
        """
        async with self._turn:
            if self.live:
                text = f"{what} once the install run is over"
                raise BusyError(text)
            yield

    def replace(self, run: InstallRun | None) -> None:
        """Replaces the latest run, which is over, by one that a person changed."""
        self._run = run

    async def _serve(self) -> None:
        while True:
            run_id, message = await self._next()
            async with self._turn:
                # A message for an earlier run does not count.
                if self._run is not None and self._run.id == run_id:
                    await self._advance(message)

    async def _next(self) -> tuple[str, Message]:
        """Returns what comes first, a message or the time, with the id of its run."""
        run = self._run
        if run is None or run.over:
            return await self._inbox.get()
        left_s = run.wake - self._now()
        if left_s <= 0:
            return run.id, Tick()
        try:
            # Not wait_for: that of Python 3.11 swallows a cancellation that comes
            # together with a message.
            async with asyncio.timeout(left_s):
                return await self._inbox.get()
        except TimeoutError:
            return run.id, Tick()

    async def _advance(self, message: Message | None) -> None:
        """Makes a turn; None: after a restart. A bug of ours ends the run."""
        run, now = self._run, self._now()
        if run is None:
            return
        try:
            run, effects = (
                machine.resume(run, now)
                if message is None
                else machine.step(run, message, now)
            )
            await self._write(run, effects)
        except Exception as error:  # noqa: BLE001  # else the stacks were held for ever
            await self._fail(error)

    async def _write(self, run: InstallRun, effects: tuple[Effect, ...]) -> None:
        """Writes the new state, then does what it asks for."""
        if self._run is None or self._run.durable != run.durable:
            try:
                await self._journal.save(run)
            except JournalError as error:
                # What is not on disk could not be resumed.
                await self._end(run, f"install run stopped where it is: {error}")
                return
        self._show(run, effects)

    async def _fail(self, error: Exception) -> None:
        """Ends the run for good: a restart would only meet the same bug again."""
        log.error("the install run met a mistake in PiRack", exc_info=error)
        if self._run is None or self._run.over:
            return
        text = (
            "install run stopped where it is, by a mistake in PiRack: "
            f"{type(error).__name__}: {error}; outlets stay as they are; see the "
            "master's log"
        )
        await self._end(self._run, text)

    async def _end(self, run: InstallRun, text: str) -> None:
        """Stops acting, and publishes that."""
        problems = (*run.problems, text)
        self._run = ended = run.with_(step=InstallStep.FAILED, problems=problems)
        log.error("%s", text)
        try:
            self._announce(ended)
        except Exception:  # the history must have it all the same
            log.exception("the end of the install run could not be announced")
        self._announcer.event(text)
        if not await self._kept(ended):
            _ = self._tasks.spawn("keep the end of an install run", self._keep(ended))

    async def _keep(self, ended: InstallRun) -> None:
        """Writes the end once that is possible, unless another run began.

        Otherwise the next start would go on with the run: days later, and unasked.
        """
        kept = False
        while not kept:
            await asyncio.sleep(KEEP_S)
            async with self._turn:
                kept = self._run is not ended or await self._kept(ended)

    async def _kept(self, run: InstallRun) -> bool:
        try:
            await self._journal.save(run)
        except JournalError:
            return False
        return True

    def _show(self, run: InstallRun, effects: tuple[Effect, ...]) -> None:
        """Performs and publishes a turn that is on disk."""
        self._run = run
        for effect in effects:
            if isinstance(effect, HistoryLine):
                log.info("%s", effect.text)
                self._announcer.event(effect.text, stack=effect.stack, mac=effect.mac)
            else:
                _ = self._tasks.spawn("step of an install run", self._act(run, effect))
        self._announce(run)

    def _announce(self, run: InstallRun) -> None:
        """Publishes a run; its state only when that changed."""
        self._announcer.run(run)  # first: it decides who holds the stacks
        state = run_state(run)
        if state != self._announced:
            self._announced = state
            self._announcer.state(state)

    async def _act(self, run: InstallRun, action: Action) -> None:
        if isinstance(action, LengthenLeases):
            async with self._turn:  # before a swap, or after: never in its middle
                await self._effects.perform(action, run.params)
            return
        try:
            answer = await self._effects.perform(action, run.params)
        except Exception as error:  # noqa: BLE001  # the run would wait for it in vain
            async with self._turn:
                if self._run and self._run.id == run.id:
                    await self._fail(error)
        else:
            self._inbox.put_nowait((run.id, answer))
