"""Everything an install needs in one piece, and all that a person can ask of it."""

import asyncio
import contextlib
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)

from broker.common.errors import PiRackError
from broker.common.tasks import Tasks
from broker.contract.messages import InstallStep
from provisioning.backends.backend import Backend
from provisioning.common.errors import BackendError, JournalError, NoRunError
from provisioning.common.hardware import of_one_device
from provisioning.common.network import BoardHeard, ForeignServer, SightingSource
from provisioning.common.subnet import Change, Reservation
from provisioning.effects import InstallEffects
from provisioning.interfaces import Announcer, RunJournal
from provisioning.run import machine, plan
from provisioning.run.messages import Message, RunCancelled, RunConfirmed, ServerSeen
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun, Leave, Params
from provisioning.run.transitions import Outcome
from provisioning.run_loop import RunLoop

WATCH_S = 1.0
"""Seconds between two checks of the DHCP server during a run."""


class Installer:
    """Owns the DHCP server, what is heard on the network, and the run.

    Args:
        journal: Where runs and places are kept; open.
        backend: The DHCP server; started and stopped with the installer.
        sources: What hears boards; started and stopped with the installer.
        own: Returns the hardware addresses of this machine.
        now: Returns monotonic seconds; None: those of the running loop.
    """

    def __init__(
        self,
        *,
        journal: RunJournal,
        backend: Backend,
        effects: InstallEffects,
        sources: Sequence[SightingSource],
        announcer: Announcer,
        new_id: Callable[[], str],
        own: Callable[[], Collection[str]] = frozenset,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._journal = journal
        self._backend = backend
        self._sources = tuple(sources)
        self._new_id = new_id
        self._own = own
        self._loop = RunLoop(
            journal=journal,
            effects=effects,
            announcer=announcer,
            now=now or _loop_time,
        )
        self._tasks = Tasks()

    @property
    def run(self) -> InstallRun | None:
        """The latest run, over or not; None: there was none."""
        return self._loop.run

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of the rack, as it is now."""
        return self.run.places if self.run else self._journal.places()

    async def start(self) -> None:
        """Serves DHCP, listens, and goes on with a run that was interrupted.

        Raises:
            ProvisioningError: The server, the network or the journal cannot be used.
        """
        await self._backend.start()
        for source in self._sources:
            await source.start(self)
        await self._loop.start()
        if self._backend.reserves:
            _ = self._tasks.keep_running("watch the DHCP server", self._watch_server)

    async def stop(self) -> None:
        """Stops where it is: the next start goes on; calling it twice is fine."""
        await self._tasks.stop()
        await self._loop.stop()
        for source in self._sources:
            await source.stop()
        await self._backend.stop()

    async def _watch_server(self) -> None:
        """Tells a run when the DHCP server goes away and comes back."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._loop.live:
                try:
                    alive = await self._backend.alive()
                except (PiRackError, OSError):
                    alive = False
                self._loop.tell(ServerSeen(alive))

    # --- a run ------------------------------------------------------------------------

    async def begin(
        self, params: Params, pins: Mapping[str, tuple[int, int]] | None = None
    ) -> str:
        """Begins a run and returns its id.

        Args:
            pins: Hardware address to stack and slot, of boards whose place a person
                gave already: they stand there unless they are heard elsewhere.

        Raises:
            BusyError: One is under way.
            JournalError: It cannot be written.
            BackendError: What is served now cannot be read.
        """

        def first(now: float) -> Outcome:
            slots = plan.prepare(self.places, params.layout, params.stacks)
            places = plan.pin(slots, pins or {})
            run, effects = machine.start(self._new_id(), params, places, now)
            run = run.with_(earlier=self._earlier(dry=params.dry))
            if self.run is not None:
                run = run.with_(boot_s=self.run.boot_s)  # until it has learnt its own
            return run, effects

        return await self._loop.begin(first)

    def _earlier(self, *, dry: bool) -> tuple[Reservation, ...] | None:
        if dry:
            return self.run.earlier if self.run else None
        return self._backend.applied()

    def confirm(self, by: str = "") -> None:
        """Notes that a person read the forecast and agrees; doing it twice is harmless.

        Raises:
            NoRunError: There is none, it is ending, or it has no forecast yet.
        """
        run = self.run
        if run is not None and run.step is InstallStep.PREFLIGHT:
            text = f"run {run.id} is still being checked; read what it would do first"
            raise NoRunError(text)
        if run is not None and run.step is InstallStep.RESTORE:
            text = f"run {run.id} is ending; begin another one"
            raise NoRunError(text)
        self._tell(RunConfirmed(by))

    def cancel(self, leave: Leave, by: str = "") -> None:
        """Ends the run early.

        Args:
            by: Name of the person who asks for it.

        Raises:
            NoRunError: There is none, or it is ending in another way.
        """
        run = self.run
        ending = run is not None and run.step is InstallStep.RESTORE
        if run is not None and ending and run.leave is not leave:
            text = f"run {run.id} is ending already; outlets: {run.leave}"
            raise NoRunError(text)
        self._tell(RunCancelled(leave, by))

    def _tell(self, message: Message) -> None:
        if not self._loop.live:
            text = "there is no install run under way; begin one first"
            raise NoRunError(text)
        self._loop.tell(message)

    def heard(self, board: BoardHeard) -> None:
        """Tells the run what a board said; this machine and groups are not boards."""
        live = self._loop.live
        if live and of_one_device(board.mac) and board.mac not in self._own():
            self._loop.tell(board)

    def server(self, server: ForeignServer) -> None:
        """Tells the run of a DHCP server that is not ours."""
        self._loop.tell(server)

    # --- changes between two runs -----------------------------------------------------

    async def swap(self, first: str, second: str) -> None:
        """Exchanges the boards of two slots, when their LEDs show that.

        They have their new addresses after the next power-cycle of their stacks.

        Raises:
            BusyError: A run is under way.
            SubnetError: There is no such slot.
            BackendError: The DHCP server did not accept it; nothing was changed.
            JournalError: It cannot be written; nothing was changed.
        """
        async with self._loop.at_rest("boards can be swapped"):
            places = plan.swap(self.places, first, second)
            earlier, run = self._backend.applied(), self.run
            async with self._serving(plan.reservations(places)):
                if run is None:
                    await self._journal.keep(places)
                else:
                    run = run.with_(places=places, earlier=earlier)
                    await self._journal.save(run)
            self._loop.replace(run)

    async def undo(self) -> Change:
        """Serves the reservations of before the latest run or swap, until the next one.

        Raises:
            BusyError: A run is under way.
            BackendError: There are none, or the server did not accept them.
            JournalError: It cannot be written; nothing was changed.
        """
        async with self._loop.at_rest("reservations can be undone"):
            run = self.run
            if run is None or run.earlier is None:
                text = "there is no earlier set of reservations to go back to"
                raise BackendError(text)
            served = self._backend.applied()
            async with self._serving(run.earlier) as change:
                run = run.with_(earlier=served)
                await self._journal.save(run)
            self._loop.replace(run)
            return change

    @contextlib.asynccontextmanager
    async def _serving(self, wanted: Collection[Reservation]) -> AsyncIterator[Change]:
        """Serves other reservations while that is written; the old ones if it fails."""
        earlier = self._backend.applied()
        change = await self._backend.apply(wanted)
        try:
            yield change
        except JournalError:
            await self._backend.apply(earlier)
            raise


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
