"""The shell around the install run: writes each turn to disk, then does what it asks.

One loop owns the run. What it is told goes through one queue, so that nothing happens
beside something else, and whatever a step wants done is a task of its own.
"""
# long: one owner of the run, and all that a person can want of it

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

from broker.messages import InstallState
from provisioning import plan
from provisioning.backends.backend import Backend
from provisioning.effects import Hands
from provisioning.errors import BackendError, BusyError, JournalError, NoRunError
from provisioning.plan import Place
from provisioning.reservation import Change, Reservation
from provisioning.run import machine
from provisioning.run.messages import (
    Apply,
    Ask,
    Asked,
    Cancelled,
    Check,
    Confirmed,
    Effect,
    ForeignServer,
    Message,
    Probe,
    Say,
    ServerSeen,
    Switch,
    Tick,
)
from provisioning.run.progress import progress
from provisioning.run.sightings import reservations
from provisioning.run.state import Leave, Params, Run, Step
from provisioning.run.turns import Outcome
from provisioning.seams import Announcer, Clock, Journal, Source

log = logging.getLogger(__name__)

WATCH_S = 1.0
"""Seconds between two looks at the DHCP server during a run."""


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
        self._announcer = announcer
        self._clock = clock
        self._new_id = new_id
        self._run: Run | None = None
        self._said: InstallState | None = None
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._turn = asyncio.Lock()  # held from a decision until it is on disk
        self._tasks: set[asyncio.Task[None]] = set()

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
        if self._run is not None:
            await self._take(machine.resume(self._run, self._clock.monotonic()))
        self._spawn(self._serve())
        if self._backend.reserves:
            self._spawn(self._watch())

    async def stop(self) -> None:
        """Stop where it is: the next start goes on; calling it twice is fine."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for source in self._sources:
            await source.stop()
        await self._backend.stop()

    # --- what a person wants ----------------------------------------------------------

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
            await self._journal.save(run)
            self._run = run
            self._perform(effects)
            self._announce(run)
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
        places = plan.swap(self.places, first, second)
        earlier = self._backend.applied()
        await self._backend.apply(reservations(places))
        if self._run is None:
            await self._journal.keep(places)
        else:
            self._run = self._run.with_(places=places, earlier=earlier)
            await self._journal.save(self._run)

    async def undo(self) -> Change:
        """Serve the reservations of before the latest run or swap, until the next one.

        Raises:
            BusyError: A run is under way.
            BackendError: There are none, or the server would not have them.
        """
        self._require_rest("reservations can be undone")
        if self._run is None or self._run.earlier is None:
            text = "there is no earlier set of reservations to go back to"
            raise BackendError(text)
        served = self._backend.applied()
        change = await self._backend.apply(self._run.earlier)
        self._run = self._run.with_(earlier=served)
        await self._journal.save(self._run)
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
                if self._run is not None:
                    now = self._clock.monotonic()
                    await self._take(machine.step(self._run, message, now))

    async def _next(self) -> Message:
        """Return what comes first: a message, or the time the run waits for."""
        if self._run is None or self._run.over:
            return await self._inbox.get()
        left_s = self._run.wake - self._clock.monotonic()
        if left_s <= 0:
            return Tick()
        try:
            return await asyncio.wait_for(self._inbox.get(), left_s)
        except TimeoutError:
            return Tick()

    async def _take(self, outcome: Outcome) -> None:
        """Write the new state down, then do what it asks for."""
        run, effects = outcome
        before, self._run = self._run, run
        if before is None or before.durable != run.durable:
            try:
                await self._journal.save(run)
            except JournalError as error:
                self._give_up(run, error)
                return
        self._perform(effects)
        self._announce(run)

    def _give_up(self, run: Run, error: JournalError) -> None:
        """Stop acting: what is not on disk could not be resumed."""
        text = f"install run stopped where it is: {error}"
        log.error("%s", text)
        self._announcer.event(text)
        self._run = run.with_(step=Step.FAILED, problems=(*run.problems, text))
        self._announce(self._run)

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Say):
                log.info("%s", effect.text)
                self._announcer.event(effect.text, stack=effect.stack, mac=effect.mac)
            else:
                self._spawn(self._act(effect))

    def _announce(self, run: Run) -> None:
        state = progress(run)
        if state != self._said:
            self._said = state
            self._announcer.state(state)
        self._announcer.run(run)

    async def _act(self, effect: Check | Switch | Probe | Apply) -> None:
        if self._run is not None:
            answer = await self._hands.perform(effect, self._run.params)
            self._inbox.put_nowait(answer)

    async def _watch(self) -> None:
        """Tell the run when the DHCP server goes away and comes back."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._live:
                alive = False
                with contextlib.suppress(BackendError):
                    alive = await self._backend.alive()
                self._inbox.put_nowait(ServerSeen(alive))

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
