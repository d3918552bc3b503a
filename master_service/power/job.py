"""One outlet on its way off, on, or off and on again; pure.

Off means: every board it feeds was asked to shut down and is proven down, then a pause
for the cards to finish, then the cut, then the reading back. A board that cannot be
asked or will not go stops it; only ``force`` cuts all the same.

Every step that matters is on disk before it is taken: see ``power/resume.py`` for what
a restart makes of it.
"""

from collections.abc import Callable

from broker.messages import Phase, Power
from master_service.commands import remember
from master_service.commands.effects import (
    Commit,
    Effects,
    Moment,
    Persist,
    Switch,
)
from master_service.commands.orders import Orders
from master_service.commands.reach import reachable
from master_service.commands.records import PartRecord
from master_service.commands.run import Row, Run
from master_service.node import Node
from master_service.power.boards import came, cannot_come, standing
from master_service.power.choice import awaited
from master_service.power.panel import Fed
from master_service.power.steps import Action, Step
from master_service.presence import BOOT_MARGIN
from master_service.settings import Settings

SWITCH_S = 240.0
"""Seconds after which a switching is given up: longer than every attempt together."""
NO_LEVEL = "its outlet was switched, but does not tell its level"


class Job:
    """One outlet under way.

    Args:
        run: The command it is a part of; ``keys`` are its rows there.
        fed: The outlet.
        action: What is asked.
        keys: Rows of the boards it feeds; one of its own if it feeds none.
        force: Cut even if a board does not shut down.
        alone: Come on only when no other outlet is coming on.
        before: The level it had when this began; None: as it is.
    """

    def __init__(
        self,
        run: Run,
        fed: Fed,
        action: Action,
        keys: list[str],
        *,
        force: bool,
        alone: bool = False,
        before: Power | None = None,
    ) -> None:
        self.run = run
        self.fed = fed
        self.action = action
        self.alone = alone
        self.before = fed.level if before is None else before
        self.step = Step.RESTING if action is Action.ON else Step.PLANNED
        self.keys = keys
        self._force = force
        self._until = 0.0
        self._refusals: dict[str, str] = {}
        self._fed_at = 0.0
        self._loads = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.step is Step.ENDED

    @property
    def coming(self) -> bool:
        """Whether it was switched on and its boards still draw their most."""
        return self._loads and self.step in {Step.FEEDING, Step.BOOTING}

    @property
    def record(self) -> PartRecord:
        """What belongs on disk."""
        return remember.part(
            self.run.asked,
            {key: self.run.rows[key] for key in self.keys},
            outlet=self.fed.row.name,
            action=self.action.value,
            step=self.step.value,
            before=self.before.value,
            alone=self.alone,
        )

    def begin(self, orders: Orders, settings: Settings, at: Moment) -> Effects:
        """Ask the boards to shut down, or go straight to switching on."""
        if self.action is Action.ON:
            self._refuse_halted(at.now)
            if not self.ended:
                self.rest(settings, at)
            return []
        self.step = Step.STOPPING
        self._until = at.now + settings.master.stop_s
        boards = self._boards()
        for node, row in boards:
            row.down, why = standing(node, self.run.asked.command.args)
            if why:
                self.refuse(node.id, why)
        if self._refusals and not self._force:
            return self._give_up(at.now)  # before anybody is shut down in vain
        effects: Effects = []
        for node, row in boards:
            if not row.down and reachable(node):
                effects += orders.shut_down(self.run, node, at)
        return effects

    def advance(
        self,
        orders: Orders,
        settings: Settings,
        at: Moment,
        may_come: Callable[["Job"], bool],
    ) -> Effects:
        """Go on if it is time to.

        Args:
            orders: Sends the orders to shut down.
            settings: The master's.
            at: This moment.
            may_come: Whether there is room to switch an outlet on.
        """
        match self.step:
            case Step.STOPPING:
                return self._stopping(orders, settings, at)
            case Step.SETTLING if at.now >= self._until:
                return self._switch(at.now, on=False)
            case Step.RESTING if at.now >= self._until and may_come(self):
                return self._switch(at.now, on=True)
            case Step.CUTTING | Step.FEEDING if at.now >= self._until:
                error = f"outlet {self.fed.row.name} did not answer in {SWITCH_S:.0f} s"
                return self._end_all(Phase.FAILED, at.now, error=error)
            case Step.BOOTING:
                return self._booting(at.now)
            case _:
                return []

    def switched(self, settings: Settings, error: str, at: Moment) -> Effects:
        """Take what came of switching: the outlet was read back by now."""
        if self.step not in {Step.CUTTING, Step.FEEDING}:
            return []
        if error:
            return self._end_all(Phase.FAILED, at.now, error=error)
        if self.step is Step.FEEDING:
            return self.feed(settings, at.now)
        if self.action is Action.OFF:
            return self.is_off(at.now)
        self.rest(settings, at)
        return [Persist(self.record), Commit()]

    def rest(self, settings: Settings, at: Moment) -> None:
        """Wait until it was off for long enough and its turn has come."""
        self.step, self._until = Step.RESTING, at.now
        if self.fed.level is Power.OFF and self.fed.changed:
            since_off_s = max(0.0, self.fed.unchanged_s(at))
            self._until += max(0.0, settings.power.min_off_s - since_off_s)
        elif self.action is Action.CYCLE:
            self._until += settings.power.min_off_s

    def feed(self, settings: Settings, now: float) -> Effects:
        """Wait for the boards to come; who was never known is not waited for."""
        self.step, self._fed_at = Step.BOOTING, now
        patience_s = 0.0
        for key in self.keys:
            node = awaited(self.run, key)
            if node is None:
                self.run.end(key, Phase.DONE, now, verified=self._reads_on)
                continue
            self.run.mark(key, Phase.RUNNING, now)
            boot_s = node.boot_s or settings.master.boot_s
            patience_s = max(patience_s, BOOT_MARGIN * boot_s)
        self._until = now + patience_s
        return self._booting(now) or [Persist(self.record), Commit()]

    def is_off(self, now: float) -> Effects:
        """End with what the outlet reads, which is off if it tells."""
        verified = self.fed.level is Power.OFF
        error = "" if verified else NO_LEVEL
        return self._end_all(Phase.DONE, now, error=error, verified=verified)

    def abandon(self, why: str, now: float) -> Effects:
        """Leave the outlet as it is, and say so in the row of each board."""
        phase = Phase.NOT_DELIVERED
        if any(self.run.rows[key].told for key in self.keys):
            phase = Phase.FAILED
        for key in self.keys:
            error = f"its outlet was not switched: {why}"
            if self.run.rows[key].told:
                error += "; it was told to shut down: `power cycle` brings it back"
            self.run.end(key, phase, now, error=error)
        return self._ended()

    def refuse(self, key: str, error: str) -> None:
        """Take that a board did not or will not shut down."""
        self._refusals.setdefault(key, error)

    def waits_for(self, key: str) -> bool:
        """Whether it waits for this board to go down."""
        return self.step is Step.STOPPING and key in self.keys

    @property
    def _reads_on(self) -> bool:
        return self.fed.level is Power.ON

    def _boards(self) -> list[tuple[Node, Row]]:
        """Return the boards it feeds that something is still to come from."""
        rows = [self.run.rows[key] for key in self.keys]
        return [(row.node, row) for row in rows if row.node is not None and row.open]

    def _refuse_halted(self, now: float) -> None:
        """Say at once that no switching on brings back who was shut down."""
        for node, _ in self._boards():
            if error := cannot_come(node, self.fed.level):
                self.run.end(node.id, Phase.FAILED, now, error=error)
        if not any(self.run.rows[key].open for key in self.keys):
            self.step = Step.ENDED

    def _stopping(self, orders: Orders, settings: Settings, at: Moment) -> Effects:
        boards = self._boards()
        for _, row in boards:
            if not row.down and orders.proof.is_down(row, at.now):
                orders.proof.halted(self.run, row, at.now)
        up = [node.id for node, row in boards if not row.down]
        waiting = [key for key in up if key not in self._refusals]
        if waiting and at.now < self._until:
            return []
        for key in waiting:
            self.refuse(key, f"not down within {settings.master.stop_s:.0f} s")
        if self._refusals and not self._force:
            return self._give_up(at.now)
        self.step, self._until = Step.SETTLING, at.now
        if any(row.told for _, row in boards):
            self._until += settings.power.settle_s
            return []
        return self._switch(at.now, on=False)

    def _give_up(self, now: float) -> Effects:
        """Leave the outlet as it is, and tell each board's row why."""
        names = ", ".join(self.run.rows[key].name for key in self._refusals)
        for key in self.keys:
            own = self._refusals.get(key)
            error = own or f"not cut, because of {names}"
            if not own and self.run.rows[key].told:
                error += "; it was shut down itself"
            hint = f"; `power {self.action} force` cuts all the same" if own else ""
            self.run.end(key, Phase.FAILED, now, error=error + hint)
        return self._ended()

    def _switch(self, now: float, *, on: bool) -> Effects:
        """Put the wanted state on disk, and only then switch."""
        self.fed.wanted = Power.ON if on else Power.OFF
        self.step = Step.FEEDING if on else Step.CUTTING
        self._until = now + SWITCH_S
        self._loads = on and not self._reads_on
        name = self.fed.row.name
        return [
            Persist(self.fed.record()),
            Persist(self.record),
            Commit(),
            Switch(name, on),
        ]

    def _booting(self, now: float) -> Effects:
        cycled = self.action is Action.CYCLE
        for node, row in self._boards():
            if came(row, rebooted=cycled):
                proof = bool(row.boot_id) or not cycled
                self.run.end(node.id, Phase.DONE, now, verified=proof)
            elif now >= self._until:
                waited_s = self._until - self._fed_at
                error = f"its outlet is on, but it did not come in {waited_s:.0f} s"
                self.run.end(node.id, Phase.FAILED, now, error=error)
        return [] if self._boards() else self._ended()

    def _end_all(
        self, phase: Phase, now: float, *, error: str = "", verified: bool = False
    ) -> Effects:
        for key in self.keys:
            self.run.end(key, phase, now, error=error, verified=verified)
        return self._ended()

    def _ended(self) -> Effects:
        self.step = Step.ENDED
        # A command that was over at once was never on disk: a record would stay there,
        # and the next start would take it up and answer it once more.
        return [Persist(self.record)] if self.run.kept else []
