"""Switches whole stacks for an install run, through the same door as every command.

So boards are asked to shut down, with proof, outlets are switched and read back, every
step is on disk and in the history, and the inrush is limited.
"""

import asyncio
from collections.abc import Awaitable, Callable

from broker.contract.messages import Command, Power, Reply, Status, Verdict
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import PowerAction, Verb
from master_service.commands.dispatcher import Dispatcher
from master_service.power.evidence import unasked
from master_service.power.outlets import Outlets, PowerError
from master_service.power.pacing import has_room
from master_service.power.power_command import FORCE, NOWAIT, fed_by, outlets_of
from master_service.presence.judge import BOOT_MARGIN
from master_service.presence.rack import Rack
from master_service.rack.command import OwnCommand
from master_service.rack.node import RackNode
from master_service.rack.outlet_state import OutletState
from master_service.rack.times import Moment
from provisioning.run.state import InstallRun

POLL_S = 0.1
"""Between two looks at what is in the way of switching."""
LONGEST_S = 240.0
"""Seconds for one outlet to be switched and read back, with every attempt."""


class RackPower:
    """The master's outlets as an install run uses them; see ``StackPower``.

    Args:
        dispatcher: Carries out the commands.
        outlets: Read directly.
        run: Returns the run that switches.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        rack: Rack,
        dispatcher: Dispatcher,
        outlets: Outlets,
        *,
        moment: Callable[[], Moment],
        run: Callable[[], InstallRun | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rack = rack
        self._dispatcher = dispatcher
        self._outlets = outlets
        self._moment = moment
        self._run = run
        self._sleep = sleep
        self._fed_at: dict[str, float] = {}

    @property
    def patience_s(self) -> float:
        """Seconds that switching one stack may take, all waiting included."""
        settings = self._rack.settings
        waits_s = settings.master.stop_s + settings.power.settle_s
        waits_s += settings.power.min_off_s + settings.master.grace_s
        return waits_s + BOOT_MARGIN * settings.master.boot_s + LONGEST_S

    async def read(self, stack: int) -> Power:
        """Returns the level of a stack: on if any outlet of it is.

        Raises:
            PiRackError: It has no outlet, or it cannot be asked.
        """
        levels = {
            await self._outlets.read(outlet.row.name)
            for outlet in self._outlets_of(stack)
        }
        if levels == {Power.OFF}:
            return Power.OFF
        return Power.ON if Power.ON in levels else Power.UNKNOWN

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        """Brings a stack to a level.

        Args:
            on: Where to.
            consent: A person agreed that boards which cannot be asked lose power.

        Raises:
            PiRackError: It has no outlet, could not be switched, or has a board that
                cannot be asked and whose cut was not agreed to.
        """
        outlets, run = self._outlets_of(stack), self._run()
        if not on and not consent:
            self._require_askable(stack, outlets)
        why = ""
        try:
            async with asyncio.timeout(self.patience_s):
                began = self._moment().now
                while why := self._obstacle(outlets, began, on=on):
                    await self._sleep(POLL_S)
                    self._require(run)
                words = self._words(outlets, on=on, consent=consent)
                reply = await self._ask(stack, words)
        except TimeoutError as error:
            text = f"stack {stack} was not switched: {why or 'its outlet is silent'}"
            raise PowerError(text) from error
        if not reply.ok:
            raise PowerError(reply.error)
        for outlet in outlets:
            self._fed_at.pop(outlet.row.name, None)
            if on:
                self._fed_at[outlet.row.name] = self._moment().now

    def _require(self, wanted: InstallRun | None) -> None:
        """Checks that the run which switches is still under way.

        Raises:
            PowerError: A person ended it, and left the outlets as they were then.
        """
        run = self._run()
        if wanted is None or run is None or run.over or run.id != wanted.id:
            text = "the install run is over"
            raise PowerError(text)

    async def _ask(self, stack: int, words: tuple[str, ...]) -> Reply:
        """Gives the command that a person would, and waits for its end."""
        run = self._run()
        scope, by = Scope(ScopeKind.STACK, str(stack)), "" if run is None else run.id
        command = Command(args=words, confirm=str(scope), by=by)
        return await self._dispatcher.submit(OwnCommand(scope, Verb.POWER, command))

    def _outlets_of(self, stack: int) -> list[OutletState]:
        return outlets_of(self._rack, Scope(ScopeKind.STACK, str(stack)))

    def _require_askable(self, stack: int, outlets: list[OutletState]) -> None:
        """Checks that every board with power can be asked to shut down.

        Raises:
            PowerError: One cannot.
        """
        if all(outlet.read and outlet.level is Power.OFF for outlet in outlets):
            return
        run = self._run()
        hit = fed_by(self._rack, outlets)
        mute = unasked(self._rack, outlets, hit)
        named = [f"{name}: {why}" for name, why in mute.items()]
        known = {board.mac for board in self._rack.found}
        if run is not None and not run.over and run.stack.number == stack:
            new = sorted(run.seen.keys() - known)
            named += [f"{mac}: it has just asked for an address" for mac in new]
        if named:
            text = f"not all boards can be asked to shut down: {'; '.join(named)}"
            raise PowerError(text)

    def _words(
        self, outlets: list[OutletState], *, on: bool, consent: bool
    ) -> tuple[str, ...]:
        if on:
            return (PowerAction.ON, NOWAIT)
        run = self._run()
        if run is not None and run.params.force:
            return (PowerAction.OFF, FORCE)
        if not consent:
            return (PowerAction.OFF,)
        # The consent to the run is for the boards it named, and for no others.
        named = () if run is None else run.params.mute
        mute = unasked(self._rack, outlets, fed_by(self._rack, outlets))
        return (PowerAction.OFF, *(f"{FORCE}={name}" for name in mute if name in named))

    def _obstacle(self, outlets: list[OutletState], began: float, *, on: bool) -> str:
        """Returns what must be over before a stack is switched; empty: nothing."""
        now = self._moment().now
        if busy := self._dispatcher.power.busy(outlets):
            return busy
        if on:
            return self._load(outlets, now)
        nodes = [node for node in fed_by(self._rack, outlets) if node.known]
        if not nodes or all(outlet.level is Power.OFF for outlet in outlets):
            return ""
        if frozen := self._rack.verdicts.frozen(now):
            return frozen
        if now - began < self._rack.settings.master.stop_s:
            leaving = [node.name for node in nodes if _leaving(node)]
            return f"{leaving[0]} is on its way down" if leaving else ""
        return ""

    def _load(self, outlets: list[OutletState], now: float) -> str:
        """Returns which stacks of ours must be up before more may come on."""
        if all(outlet.level is Power.ON for outlet in outlets):
            return ""
        known = self._rack.panel.outlets
        coming = [known[name] for name in self._fed_at if self._comes(name, now)]
        power = self._rack.settings.power
        rows = [outlet.row for outlet in coming]
        since_s = now - max(self._fed_at.values(), default=-float("inf"))
        if all(has_room(power, o.row, rows, since_last_s=since_s) for o in outlets):
            return ""
        names = ", ".join(row.name for row in rows) or "the last outlet"
        return f"{names} must be up first: the supply is limited"

    def _comes(self, name: str, now: float) -> bool:
        """Returns whether the known boards of an outlet still boot."""
        outlet = self._rack.panel.outlets[name]
        nodes = [node for node in fed_by(self._rack, [outlet]) if node.known]
        default_s = self._rack.settings.master.boot_s
        boot_s = max((node.boot_s or default_s for node in nodes), default=0.0)
        late = now - self._fed_at[name] >= BOOT_MARGIN * boot_s
        up = all(node.verdict is Verdict.ONLINE for node in nodes)
        return outlet.level is Power.ON and not late and not up


def _leaving(node: RackNode) -> bool:
    """Returns whether its agent said goodbye and the board is not proven down."""
    gone = node.status is Status.OFFLINE and bool(node.goodbye)
    return gone and node.verdict in {Verdict.LATE, Verdict.HUNG}
