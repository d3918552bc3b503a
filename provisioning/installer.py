"""Everything an install needs in one piece, and all that a person can want of it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from broker.common.tasks import Tasks
from broker.contract.messages import InstallStep
from provisioning import between, plan
from provisioning.backends.backend import Backend
from provisioning.common.errors import NoRunError
from provisioning.common.hardware import of_one_device
from provisioning.common.network import BoardHeard, ForeignServer, SightingSource
from provisioning.common.subnet import Change, Reservation
from provisioning.effects import Hands
from provisioning.plan import Place
from provisioning.run import machine
from provisioning.run.messages import Cancelled, Confirmed, Message
from provisioning.run.state import Leave, Params, Run
from provisioning.run.turns import Outcome
from provisioning.run_loop import RunLoop
from provisioning.seams import Announcer, Clock, Journal
from provisioning.server_watch import watch


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
        own: Returns the hardware addresses of this machine.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        backend: Backend,
        hands: Hands,
        sources: Sequence[SightingSource],
        announcer: Announcer,
        clock: Clock,
        new_id: Callable[[], str],
        own: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._journal = journal
        self._backend = backend
        self._sources = tuple(sources)
        self._new_id = new_id
        self._own = own
        self._loop = RunLoop(
            journal=journal, hands=hands, announcer=announcer, clock=clock
        )
        self._tasks = Tasks()

    @property
    def run(self) -> Run | None:
        """The latest run, over or not; None: there was none."""
        return self._loop.run

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of the rack, as it is now."""
        return self.run.places if self.run else self._journal.places()

    async def start(self) -> None:
        """Serve DHCP, listen, and go on with a run that was interrupted.

        Raises:
            ProvisioningError: The server, the network or the journal cannot be used.
        """
        await self._backend.start()
        for source in self._sources:
            await source.start(self)
        await self._loop.start()
        if self._backend.reserves:
            _ = self._tasks.keep_running(
                "watch the DHCP server",
                lambda: watch(self._backend, lambda: self._loop.live, self._loop.tell),
            )

    async def stop(self) -> None:
        """Stop where it is: the next start goes on; calling it twice is fine."""
        await self._tasks.stop()
        await self._loop.stop()
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

        def first(now: float) -> Outcome:
            slots = plan.prepare(self.places, params.layout, params.stacks)
            places = plan.pin(slots, pins or {})
            run, effects = machine.start(self._new_id(), params, places, now)
            run = run.with_(earlier=self._earlier(dry=params.dry))
            if self.run is not None:
                run = run.with_(boot_s=self.run.boot_s)  # until it has learnt its own
            return run, effects

        return await self._loop.begin(first)

    def confirm(self, by: str = "") -> None:
        """Say that a person read the forecast and agrees; once more is harmless.

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
        self._tell(Confirmed(by))

    def cancel(self, leave: Leave, by: str = "") -> None:
        """End the run early.

        Args:
            leave: How the outlets are left.
            by: Who wants it.

        Raises:
            NoRunError: There is none, or it is ending in another way.
        """
        run = self.run
        if (
            run is not None
            and run.step is InstallStep.RESTORE
            and run.leave is not leave
        ):
            text = f"run {run.id} is ending already; outlets: {run.leave}"
            raise NoRunError(text)
        self._tell(Cancelled(leave, by))

    def _tell(self, message: Message) -> None:
        if not self._loop.live:
            text = "there is no install run under way; begin one first"
            raise NoRunError(text)
        self._loop.tell(message)

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
            JournalError: It cannot be kept; nothing was changed.
        """
        async with self._loop.at_rest("boards can be swapped"):
            run = await between.swap(
                self._backend, self._journal, self.run, (first, second)
            )
            self._loop.replace(run)

    async def undo(self) -> Change:
        """Serve the reservations of before the latest run or swap, until the next one.

        Raises:
            BusyError: A run is under way.
            BackendError: There are none, or the server would not have them.
            JournalError: It cannot be kept; nothing was changed.
        """
        async with self._loop.at_rest("reservations can be undone"):
            run, change = await between.undo(self._backend, self._journal, self.run)
            self._loop.replace(run)
            return change

    def _earlier(self, *, dry: bool) -> tuple[Reservation, ...] | None:
        if dry:
            return self.run.earlier if self.run else None
        return self._backend.applied()

    def heard(self, ask: BoardHeard) -> None:
        """Takes what a board said; this machine and groups are no boards."""
        if not self._loop.live or not of_one_device(ask.mac) or ask.mac in self._own():
            return
        self._loop.tell(ask)

    def server(self, server: ForeignServer) -> None:
        """Take the sign of a DHCP server that is not ours."""
        self._loop.tell(server)
