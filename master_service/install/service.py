"""Provisioning as a part of the master: started, resumed and stopped with it.

Nothing that goes wrong here stops the master: a wrong configuration, a DHCP server or
an interface that is missing is published as a problem, and tried again.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from broker.client.link import Link
from broker.common.config import Document
from broker.common.errors import ConfigError, PiRackError
from broker.common.tasks import keep_running
from broker.contract.messages import Details, EventKind, InstallState
from master_service.commands.dispatcher import Dispatcher
from master_service.install.power import RackPower
from master_service.install.publisher import InstallPublisher
from master_service.power.outlets import Outlets
from master_service.presence.rack import Rack
from master_service.rack.events import Draft
from master_service.rack.layout import plans, stacks
from master_service.rack.node import RackNode
from master_service.rack.settings import Settings
from master_service.rack.times import Moment
from provisioning import settings as provisioning
from provisioning.build import make_installer, make_journal, make_simulated
from provisioning.common.errors import NoRunError
from provisioning.discovery.sources import AgentSource
from provisioning.installer import Installer
from provisioning.interfaces import MasterParts
from provisioning.run.plan import Place
from provisioning.run.report import run_state
from provisioning.run.state import InstallRun
from provisioning.settings import BackendName, InstallSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 5.0
"""Until provisioning that could not be begun is tried again; doubled each time."""
LONGEST_PAUSE_S = 300.0


Make = Callable[[InstallSettings, MasterParts], Installer]
"""Makes an installer, not started yet."""


def make(settings: InstallSettings, seams: MasterParts) -> Installer:
    """Returns an installer on the real network, or on that of a simulated rack.

    Args:
        settings: ``[install]``, with a back end.
        seams: What the master gives.

    Raises:
        BackendError: The server's program is not installed.
    """
    if settings.backend is BackendName.FAKE:
        return make_simulated(settings, seams)
    return make_installer(settings, seams)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioning as configured.

    Args:
        problem: Why it cannot be used; empty: it can, or it is off.
    """

    settings: InstallSettings = InstallSettings()
    problem: str = ""
    make: Make = make


def read_setup(document: Document, settings: Settings) -> Setup:
    """Reads ``[install]``; a mistake there stops nothing but provisioning."""
    try:
        found = provisioning.read(document, plans(stacks(settings)))
    except ConfigError as error:
        return Setup(problem=str(error))
    return Setup(settings=found)


class Installs:
    """The install run of a rack, and its DHCP server.

    Args:
        dispatcher: Carries out the commands that switch power.
    """

    def __init__(
        self,
        setup: Setup,
        rack: Rack,
        dispatcher: Dispatcher,
        outlets: Outlets,
        link: Link,
        *,
        moment: Callable[[], Moment],
    ) -> None:
        self.settings = setup.settings
        self._setup = setup
        self._rack = rack
        self._moment = moment
        self._journal = make_journal(setup.settings)
        self._births = AgentSource()
        self.seating = rack.placement
        self._installer: Installer | None = None
        self._before: InstallRun | None = None
        self._places: tuple[Place, ...] = ()
        self._starting: asyncio.Task[None] | None = None
        self.tried = asyncio.Event()
        """Set once it is known whether boards can be provisioned."""
        self.board = InstallPublisher(rack, link, setup.settings, lambda: self.places)
        self.power = RackPower(
            rack,
            dispatcher,
            outlets,
            moment=moment,
            run=lambda: self.last,
        )

    # --- start and stop ---------------------------------------------------------------

    def open(self) -> None:
        """Reads what was under way, and reserves the stacks of a run."""
        if self._setup.problem:
            self._note_trouble(self._setup.problem)
        if not self.settings.on:
            return
        try:
            self._journal.open()
            self._before, self._places = self._journal.last(), self._journal.places()
        except PiRackError as error:
            self._note_trouble(_cannot(error))
            return
        if self._before is not None:
            self.run(self._before)
            self.state(run_state(self._before))

    def start(self) -> None:
        """Begins to serve and listen, and goes on with what was under way."""
        if self.settings.on:
            self._starting = keep_running("begin provisioning", self._begin)
        else:
            self.tried.set()

    async def stop(self) -> None:
        """Leaves everything as it is; the next start goes on. Twice is fine."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        installer, self._installer = self._installer, None
        if installer is not None:
            self._before, self._places = installer.run, installer.places
            await installer.stop()
        self._journal.close()
        self.board.stop()

    async def _begin(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not await self._try():
            self.tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.tried.set()

    async def _try(self) -> bool:
        """Starts an installer; returns whether it works."""
        installer, works = None, False
        try:
            self._journal.open()
            seams = MasterParts(
                power=self.power,
                announcer=self,
                journal=self._journal,
                sources=(self._births,),
                talking=self.seating.talking,
            )
            installer = self._setup.make(self.settings, seams)
            await installer.start()
            works = True
        except Exception as error:  # else the stacks were held for ever
            if not isinstance(error, PiRackError | OSError):
                log.exception(
                    "provisioning does not start because of a defect of PiRack"
                )
            self._rack.locks.give_run("", ())
            self._note_trouble(_cannot(error))
            return False
        finally:
            if installer is not None and not works:
                await installer.stop()
        self._installer = installer
        if self.board.trouble:
            self.board.trouble = ""
            self._rack.outbox.note(EventKind.INSTALL, "boards can be provisioned again")
        self.board.look()
        return True

    def _note_trouble(self, text: str) -> None:
        """Publishes what is in the way, once for as long as it is."""
        if text == self.board.trouble:
            return
        log.error("%s", text)
        self._rack.outbox.note(EventKind.FAULT, text)
        self.board.trouble = text
        self.board.look()

    # --- what is known ----------------------------------------------------------------

    @property
    def last(self) -> InstallRun | None:
        """The latest run, over or not."""
        return self._before if self._installer is None else self._installer.run

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of the rack."""
        return self._places if self._installer is None else self._installer.places

    @property
    def installer(self) -> Installer:
        """The installer.

        Raises:
            NoRunError: Provisioning is off, or does not work.
        """
        if self._installer is not None:
            return self._installer
        if not self.settings.on and not self._setup.problem:
            text = "provisioning is off: [install] backend in pirack.toml turns it on"
            raise NoRunError(text)
        text = self.board.trouble or "provisioning is just being started"
        raise NoRunError(text)

    # --- what the run says (provisioning.interfaces.Announcer) ------------------------

    def state(self, state: InstallState) -> None:
        """Publishes the run's progress."""
        self.board.show(state)

    def run(self, run: InstallRun) -> None:
        """Publishes its stacks, and reserves them while it is under way."""
        live = not run.over and not run.params.dry
        numbers = [stack.number for stack in run.params.stacks]
        self._rack.locks.give_run(run.id if live else "", numbers)
        self.board.turn(run)
        self.seating.note(run.places)
        if run.over:
            self.seat()

    def event(self, text: str, *, stack: int | None = None, mac: str = "") -> None:
        """Writes a line of the rack's history."""
        run = self.last
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.INSTALL,
                text=text,
                node=self.seating.node_of(mac),
                stack=stack,
                by="" if run is None else run.params.by,
                correlation="" if run is None else run.id,
            )
        )

    def shows(self, stack: int) -> bool:
        """Returns whether it publishes anything about a stack."""
        return self.settings.on and stack in self._rack.stacks

    # --- messages of boards -----------------------------------------------------------

    def said(self, node: RackNode, details: Details, *, retained: bool) -> None:
        """Takes what a board says about itself.

        Args:
            retained: They came out of the broker's store.
        """
        if node.id != self._rack.settings.master.node:  # it is in no stack of a run
            self._births.said(node.id, details, retained=retained)
        run = self.last
        if (run is None or run.over) and self.seating.concerns(node):
            self.seat()

    def seat(self) -> None:
        """Gives boards the names and places in which they were found."""
        if self.settings.on:
            now = self._moment().now
            for node in self.seating.seat(self.places):
                self._rack.verdicts.judge(node, now)


def _cannot(error: Exception) -> str:
    return f"boards cannot be provisioned: {error}"
