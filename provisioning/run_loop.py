"""Takes a run from turn to turn: writes each one to disk, then does what it asks for.

One loop owns the run. What it is told goes through one queue, so that nothing happens
beside something else, and whatever a step wants done is a task of its own.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from broker.common.log import RateLimited
from broker.common.tasks import Tasks
from broker.contract.messages import InstallStep
from provisioning.common.errors import BusyError, JournalError
from provisioning.common.network import BoardHeard, ForeignServer
from provisioning.effects import Hands
from provisioning.run import machine
from provisioning.run.messages import Act, Effect, Lengthen, Message, Say, Tick
from provisioning.run.state import Run
from provisioning.run.turns import Outcome
from provisioning.seams import Announcer, Clock, Journal
from provisioning.teller import Teller

log = logging.getLogger(__name__)

KEEP_S = 5.0
"""Seconds between two attempts to write down that a run was stopped."""


WAITING_AT_MOST = 1_000
"""Messages that wait for their turn, each of which is written to the disk."""


class RunLoop:
    """Owns the latest run.

    Args:
        journal: Where runs are kept; open.
        hands: Performs effects.
        announcer: Who is told.
        clock: The time.
    """

    def __init__(
        self, *, journal: Journal, hands: Hands, announcer: Announcer, clock: Clock
    ) -> None:
        self._journal = journal
        self._hands = hands
        self._teller = Teller(announcer)
        self._clock = clock
        self._run: Run | None = None
        self._inbox: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self.dropped = RateLimited(log)
        """Counts what was heard on the network and found no place."""
        self._turn = asyncio.Lock()  # held from a decision until it is on disk
        self._tasks = Tasks()

    @property
    def run(self) -> Run | None:
        """The latest run, over or not; None: there was none."""
        return self._run

    @property
    def live(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None and not self._run.over

    async def start(self) -> None:
        """Go on with a run that was interrupted, and take what comes."""
        self._run = self._journal.last()
        await self._advance(None)
        _ = self._tasks.keep_running("install run", self._serve)

    async def stop(self) -> None:
        """Stop where it is: the next start goes on; calling it twice is fine."""
        await self._tasks.stop()

    async def begin(self, first: Callable[[float], Outcome]) -> str:
        """Begin a run and return its id.

        Args:
            first: Takes monotonic seconds and returns its first turn.

        Raises:
            BusyError: One is under way.
            JournalError: It cannot be written down.
        """
        async with self._turn:
            if self._run is not None and self.live:
                text = f"run {self._run.id} is at {self._run.step}; cancel it, or wait"
                raise BusyError(text)
            run, effects = first(self._clock.monotonic())
            await self._journal.save(run)
            self._show(run, effects)
            self.tell(Tick())  # it waits for the run before this one
            return run.id

    def tell(self, message: Message) -> None:
        """Tells the run something; without a run it is dropped.

        Of a storm on the network the last questions of boards are dropped: they ask
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
        """Let nobody begin a run while a person changes the latest one.

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

    def replace(self, run: Run | None) -> None:
        """Take the latest run as a person changed it when it was over."""
        self._run = run

    async def _serve(self) -> None:
        while True:
            run_id, message = await self._next()
            async with self._turn:
                # What was meant for a run before this one counts for nothing.
                if self._run is not None and self._run.id == run_id:
                    await self._advance(message)

    async def _next(self) -> tuple[str, Message]:
        """Return what comes first, and for which run: a message, or the time."""
        run = self._run
        if run is None or run.over:
            return await self._inbox.get()
        left_s = run.wake - self._clock.monotonic()
        if left_s <= 0:
            return run.id, Tick()
        try:
            # Not wait_for: of Python 3.11 it keeps a stop to itself that comes with a
            # message.
            async with asyncio.timeout(left_s):
                return await self._inbox.get()
        except TimeoutError:
            return run.id, Tick()

    async def _advance(self, message: Message | None) -> None:
        """Take a turn, None: after a restart; a mistake of ours ends the run."""
        run, now = self._run, self._clock.monotonic()
        if run is None:
            return
        try:
            await self._take(
                machine.resume(run, now)
                if message is None
                else machine.step(run, message, now)
            )
        except Exception as error:  # noqa: BLE001  # else the stacks were held for ever
            await self._fail(error)

    async def _take(self, outcome: Outcome) -> None:
        """Write the new state down, then do what it asks for."""
        run, effects = outcome
        if self._run is None or self._run.durable != run.durable:
            try:
                await self._journal.save(run)
            except JournalError as error:
                # What is not on disk could not be resumed.
                await self._end(run, f"install run stopped where it is: {error}")
                return
        self._show(run, effects)

    async def _fail(self, error: Exception) -> None:
        """End the run for good: a restart would only meet the same mistake again."""
        log.error("the install run met a mistake in PiRack", exc_info=error)
        if self._run is None or self._run.over:
            return
        text = (
            "install run stopped where it is, by a mistake in PiRack: "
            f"{type(error).__name__}: {error}; outlets stay as they are; see the "
            "master's log"
        )
        await self._end(self._run, text)

    async def _end(self, run: Run, text: str) -> None:
        """Stop acting, and say so."""
        self._run = ended = run.with_(
            step=InstallStep.FAILED, problems=(*run.problems, text)
        )
        self._teller.stopped(ended, text)
        if not await self._kept(ended):
            _ = self._tasks.spawn("keep the end of an install run", self._keep(ended))

    async def _keep(self, ended: Run) -> None:
        """Write the end down once that can be done, unless another run began.

        Else the next start would go on with it: days later, and unasked.
        """
        kept = False
        while not kept:
            await asyncio.sleep(KEEP_S)
            async with self._turn:
                kept = self._run is not ended or await self._kept(ended)

    async def _kept(self, run: Run) -> bool:
        try:
            await self._journal.save(run)
        except JournalError:
            return False
        return True

    def _show(self, run: Run, effects: tuple[Effect, ...]) -> None:
        """Do and tell what is on disk by now."""
        self._run = run
        for effect in effects:
            if isinstance(effect, Say):
                self._teller.say(effect)
            else:
                _ = self._tasks.spawn("step of an install run", self._act(run, effect))
        self._teller.announce(run)

    async def _act(self, run: Run, effect: Act) -> None:
        if isinstance(effect, Lengthen):
            async with self._turn:  # before a swap, or after: never in its middle
                await self._hands.perform(effect, run.params)
            return
        try:
            answer = await self._hands.perform(effect, run.params)
        except Exception as error:  # noqa: BLE001  # the run would wait for it in vain
            async with self._turn:
                if self._run and self._run.id == run.id:
                    await self._fail(error)
        else:
            self._inbox.put_nowait((run.id, answer))
