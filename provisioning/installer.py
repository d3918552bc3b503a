"""The shell around the install run: writes each turn to disk, then does what it asks.

One loop owns the run. What it is told goes through one queue, so that nothing happens
beside something else, and whatever a step wants done is a task of its own.
"""
# long: one owner of the run, and all that a person can want of it

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from provisioning import between, plan
from provisioning.backends.backend import Backend
from provisioning.effects import Hands
from provisioning.errors import BusyError, JournalError, NoRunError
from provisioning.plan import Place
from provisioning.reservation import Change, Reservation
from provisioning.run import machine
from provisioning.run.messages import (
    Act,
    Ask,
    Asked,
    Cancelled,
    Confirmed,
    Effect,
    ForeignServer,
    Message,
    Say,
    Tick,
)
from provisioning.run.state import Leave, Params, Run, Step
from provisioning.run.turns import Outcome
from provisioning.seams import Announcer, Clock, Journal, Source
from provisioning.server_watch import watch
from provisioning.tasks import Tasks
from provisioning.teller import Teller

log = logging.getLogger(__name__)


class Installer:
    """Owns the DHCP server, what is heard on the network, and the run.

    Args:
        journal: Where runs and places are kept; open.
        backend: The DHCP server; started and stopped with the installer.
        hands: Performs effects.
        sources: What hears boards; started and stopped likewise.
        announcer: Who is told.
        clock: The time.
        new_id: Makes the id of a run.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        backend: Backend,
        hands: Hands,
        sources: Sequence[Source],
        announcer: Announcer,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._journal = journal
        self._backend = backend
        self._hands = hands
        self._sources = tuple(sources)
        self._teller = Teller(announcer)
        self._clock = clock
        self._new_id = new_id
        self._run: Run | None = None
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._turn = asyncio.Lock()  # held from a decision until it is on disk
        self._tasks = Tasks()

    @property
    def run(self) -> Run | None:
        """The latest run, over or not; None: there was none."""
        return self._run

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of the rack, as it is now."""
        return self._run.places if self._run else self._journal.places()

    async def start(self) -> None:
        """Serve DHCP, listen, and go on with a run that was interrupted.

        Raises:
            ProvisioningError: The server, the network or the journal cannot be used.
        """
        await self._backend.start()
        for source in self._sources:
            await source.start(self)
        self._run = self._journal.last()
        await self._advance(None)
        self._tasks.spawn(self._serve())
        if self._backend.reserves:
            looks = watch(self._backend, lambda: self._live, self._inbox.put_nowait)
            self._tasks.spawn(looks)

    async def stop(self) -> None:
        """Stop where it is: the next start goes on; calling it twice is fine."""
        await self._tasks.stop()
        for source in self._sources:
            await source.stop()
        await self._backend.stop()

    async def begin(
        self, params: Params, pins: Mapping[str, tuple[int, int]] | None = None
    ) -> str:
        """Begin a run and return its id.

        Args:
            params: What it is asked to do.
            pins: Hardware address to stack and slot, of boards whose place a person
                told already: they stand there unless they are heard elsewhere.

        Raises:
            BusyError: One is under way.
            JournalError: It cannot be written down.
            BackendError: What is served now cannot be read.
        """
        async with self._turn:
            if self._run is not None and self._live:
                text = f"run {self._run.id} is at {self._run.step}; cancel it, or wait"
                raise BusyError(text)
            slots = plan.prepare(self.places, params.layout, params.stacks)
            places, now = plan.pin(slots, pins or {}), self._clock.monotonic()
            run, effects = machine.start(self._new_id(), params, places, now)
            run = run.with_(earlier=self._earlier(dry=params.dry))
            if self._run is not None:
                run = run.with_(boot_s=self._run.boot_s)  # until it has learnt its own
            await self._journal.save(run)
            self._run = run
            self._perform(run, effects)
            self._teller.announce(run)
            self._inbox.put_nowait(Tick())  # it waits for the run before this one
            return run.id

    def confirm(self, by: str = "") -> None:
        """Say that a person read the forecast and agrees.

        Raises:
            NoRunError: No run waits.
        """
        self._tell(Confirmed(by))

    def cancel(self, leave: Leave, by: str = "") -> None:
        """End the run early.

        Args:
            leave: How the outlets are left.
            by: Who wants it.

        Raises:
            NoRunError: There is none.
        """
        self._tell(Cancelled(leave, by))

    def _tell(self, message: Message) -> None:
        if not self._live:
            text = "there is no install run under way; begin one first"
            raise NoRunError(text)
        self._inbox.put_nowait(message)

    async def swap(self, first: str, second: str) -> None:
        """Exchange the boards of two slots, when their LEDs say so.

        They have their new addresses after the next power-cycle of their stacks.

        Args:
            first: Name of a slot.
            second: Name of another one.

        Raises:
            BusyError: A run is under way.
            SubnetError: There is no such slot.
            BackendError: The DHCP server would not have it; nothing was changed.
        """
        self._require_rest("boards can be swapped")
        self._run = await between.swap(
            self._backend, self._journal, self._run, (first, second)
        )

    async def undo(self) -> Change:
        """Serve the reservations of before the latest run or swap, until the next one.

        Raises:
            BusyError: A run is under way.
            BackendError: There are none, or the server would not have them.
        """
        self._require_rest("reservations can be undone")
        self._run, change = await between.undo(self._backend, self._journal, self._run)
        return change

    def _earlier(self, *, dry: bool) -> tuple[Reservation, ...] | None:
        if dry:
            return self._run.earlier if self._run else None
        return self._backend.applied()

    def _require_rest(self, what: str) -> None:
        if self._live:
            text = f"{what} once the install run is over"
            raise BusyError(text)

    def heard(self, ask: Ask) -> None:
        """Take what a board said; outside a run nobody needs it."""
        if self._live:
            self._inbox.put_nowait(Asked(ask))

    def server(self, server: ForeignServer) -> None:
        """Take the sign of a DHCP server that is not ours."""
        if self._live:
            self._inbox.put_nowait(server)

    @property
    def _live(self) -> bool:
        return self._run is not None and not self._run.over

    async def _serve(self) -> None:
        while True:
            message = await self._next()
            async with self._turn:
                await self._advance(message)

    async def _next(self) -> Message:
        """Return what comes first: a message, or the time the run waits for."""
        if self._run is None or self._run.over:
            return await self._inbox.get()
        left_s = self._run.wake - self._clock.monotonic()
        if left_s <= 0:
            return Tick()
        try:
            # Not wait_for: of Python 3.11 it keeps a stop to itself that comes with a
            # message.
            async with asyncio.timeout(left_s):
                return await self._inbox.get()
        except TimeoutError:
            return Tick()

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
                self._end(run, f"install run stopped where it is: {error}")
                return
        self._run = run
        self._perform(run, effects)
        self._teller.announce(run)

    async def _fail(self, error: Exception) -> None:
        """End the run for good: a restart would only meet the same mistake again."""
        log.error("the install run met a mistake in PiRack", exc_info=error)
        if self._run is None or self._run.over:
            return
        text = (
            "install run stopped where it is, by a mistake in PiRack: "
            f"{type(error).__name__}: {error}; outlets stay as they are, see its log"
        )
        self._end(self._run, text)
        with contextlib.suppress(JournalError):
            await self._journal.save(self._run)

    def _end(self, run: Run, text: str) -> None:
        """Stop acting, and say so."""
        self._run = run.with_(step=Step.FAILED, problems=(*run.problems, text))
        self._teller.stopped(self._run, text)

    def _perform(self, run: Run, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Say):
                self._teller.say(effect)
            else:
                self._tasks.spawn(self._act(run, effect))

    async def _act(self, run: Run, effect: Act) -> None:
        try:
            answer = await self._hands.perform(effect, run.params)
        except Exception as error:  # noqa: BLE001  # the run would wait for it in vain
            async with self._turn:
                if self._run and self._run.id == run.id:
                    await self._fail(error)
        else:
            self._inbox.put_nowait(answer)
