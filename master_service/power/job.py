"""One outlet on its way off, on, or off and on again; pure.

Off means: every board it feeds was asked to shut down and is proven down, then a pause
for the cards to finish, then the cut, then the reading back. A board that cannot be
asked or will not go stops it; only ``force`` cuts all the same.
"""

import enum

from broker.messages import Phase, Power, Verdict
from master_service.commands.effects import (
    Commit,
    Effects,
    KeepOutlet,
    Moment,
    Switch,
)
from master_service.commands.orders import Orders
from master_service.commands.reach import absence, reachable
from master_service.commands.run import Row, Run
from master_service.power.panel import Fed
from master_service.presence import BOOT_MARGIN
from master_service.settings import Settings

SWITCH_S = 30.0
"""Seconds a driver may take to switch and read back."""
NOTHING_TO_LOSE = frozenset(
    {Verdict.LOST, Verdict.OFF, Verdict.UNPOWERED, Verdict.UNSEEN}
)
"""Such boards answer neither agent nor ping: there is nobody to ask."""


class Action(enum.StrEnum):
    """What is asked of an outlet."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"


class Step(enum.Enum):
    """How far it is."""

    STOPPING = enum.auto()
    SETTLING = enum.auto()
    CUTTING = enum.auto()
    RESTING = enum.auto()
    FEEDING = enum.auto()
    BOOTING = enum.auto()
    ENDED = enum.auto()


class Job:
    """One outlet under way.

    Args:
        run: The command it is a part of; ``keys`` are its rows there.
        fed: The outlet.
        action: What is asked.
        force: Cut even if a board does not shut down.
        keys: Rows of the boards it feeds; one of its own if it feeds none.
    """

    def __init__(
        self, run: Run, fed: Fed, action: Action, keys: list[str], *, force: bool
    ) -> None:
        self.run = run
        self.fed = fed
        self.step = Step.STOPPING
        self._action = action
        self._force = force
        self._keys = keys
        self._until = 0.0
        self._refusals: dict[str, str] = {}
        self._fed_at = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.step is Step.ENDED

    def begin(self, orders: Orders, settings: Settings, at: Moment) -> Effects:
        """Ask the boards to shut down, or go straight to switching on."""
        if self._action is Action.ON:
            since_off_s = at.wall - self.fed.changed
            rest_s = max(0.0, settings.power.min_off_s - max(0.0, since_off_s))
            if self.fed.level is Power.OFF and self.fed.changed and rest_s:
                self.step, self._until = Step.RESTING, at.now + rest_s
                return []
            return self._switch(at.now, on=True)
        effects: Effects = []
        self._until = at.now + settings.master.stop_s
        for row in self._boards():
            effects += self._stop(orders, row, at)
        return effects

    def advance(self, orders: Orders, settings: Settings, at: Moment) -> Effects:
        """Go on if it is time to."""
        match self.step:
            case Step.STOPPING:
                return self._stopping(orders, settings, at)
            case Step.SETTLING if at.now >= self._until:
                return self._switch(at.now, on=False)
            case Step.RESTING if at.now >= self._until:
                return self._switch(at.now, on=True)
            case Step.CUTTING | Step.FEEDING if at.now >= self._until:
                error = f"outlet {self.fed.row.name} did not answer in {SWITCH_S:.0f} s"
                self._end_all(Phase.FAILED, at.now, error=error)
            case Step.BOOTING:
                self._booting(at.now)
            case _:
                pass
        return []

    def switched(self, settings: Settings, error: str, at: Moment) -> None:
        """Take what came of switching: the outlet's level is read back by now."""
        wanted = Power.OFF if self.step is Step.CUTTING else Power.ON
        if self.step not in {Step.CUTTING, Step.FEEDING}:
            return
        if not error and self.fed.level is not wanted:
            error = f"outlet {self.fed.row.name} reads {self.fed.level}, not {wanted}"
        if error:
            self._end_all(Phase.FAILED, at.now, error=error)
        elif wanted is Power.ON:
            self._feed(settings, at.now)
        elif self._action is Action.OFF:
            self._end_all(Phase.DONE, at.now, verified=True)
        else:
            self.step = Step.RESTING
            self._until = at.now + settings.power.min_off_s

    def refuse(self, key: str, error: str) -> None:
        """Take that a board did not or will not shut down."""
        self._refusals.setdefault(key, error)

    def waits_for(self, key: str) -> bool:
        """Whether it waits for this board to go down."""
        return self.step is Step.STOPPING and key in self._keys

    def _boards(self) -> list[Row]:
        rows = [self.run.rows[key] for key in self._keys]
        return [row for row in rows if row.node is not None]

    def _stop(self, orders: Orders, row: Row, at: Moment) -> Effects:
        node = row.node
        if node is None or node.verdict in NOTHING_TO_LOSE:
            row.down = True
            return []
        if not reachable(node):
            self.refuse(node.id, f"cannot be asked to shut down: {absence(node)}")
            return []
        return orders.shut_down(self.run, node, at)

    def _stopping(self, orders: Orders, settings: Settings, at: Moment) -> Effects:
        asked = False
        for row in self._boards():
            if not row.down and orders.is_down(row, at.now):
                orders.halted(self.run, row, at.now)
            asked = asked or row.deadline > row.began
        waiting = [r for r in self._boards() if not r.down and not self._refused(r)]
        if waiting and at.now < self._until:
            return []
        for row in waiting:
            self.refuse(_key(row), f"not down within {settings.master.stop_s:.0f} s")
        if self._refusals and not self._force:
            self._give_up(at.now)
            return []
        self.step = Step.SETTLING
        self._until = at.now + (settings.power.settle_s if asked else 0.0)
        return self.advance(orders, settings, at)

    def _refused(self, row: Row) -> bool:
        return _key(row) in self._refusals

    def _give_up(self, now: float) -> None:
        """Leave the outlet as it is, and tell each board's row why."""
        names = ", ".join(self.run.rows[key].name for key in self._refusals)
        for key in self._keys:
            own = self._refusals.get(key)
            error = own or f"not cut, because of {names}; it was shut down itself"
            hint = "; `power off force` cuts all the same" if own else ""
            self.run.end(key, Phase.FAILED, now, error=error + hint)
        self.step = Step.ENDED

    def _switch(self, now: float, *, on: bool) -> Effects:
        """Put the wanted state on disk, and only then switch."""
        self.fed.wanted = Power.ON if on else Power.OFF
        self.step = Step.FEEDING if on else Step.CUTTING
        self._until = now + SWITCH_S
        name = self.fed.row.name
        return [KeepOutlet(name), Commit(), Switch(name, on)]

    def _feed(self, settings: Settings, now: float) -> None:
        """Wait for the boards to come; who was never known is not waited for."""
        self.step, self._fed_at = Step.BOOTING, now
        patience_s = 0.0
        for key in self._keys:
            node = self.run.rows[key].node
            if node is None or not node.known:
                self.run.end(key, Phase.DONE, now, verified=True)
                continue
            self.run.mark(key, Phase.RUNNING, now)
            boot_s = node.boot_s or settings.master.boot_s
            patience_s = max(patience_s, BOOT_MARGIN * boot_s)
        self._until = now + patience_s
        self._booting(now)

    def _booting(self, now: float) -> None:
        for row in self._boards():
            node = row.node
            if node is None or not row.open:
                continue
            if self._came(row):
                self.run.end(node.id, Phase.DONE, now, verified=True)
            elif now >= self._until:
                waited_s = self._until - self._fed_at
                error = f"its outlet is on, but it did not come in {waited_s:.0f} s"
                self.run.end(node.id, Phase.FAILED, now, error=error)
        if not any(row.open for row in self._boards()):
            self.step = Step.ENDED

    def _came(self, row: Row) -> bool:
        """Whether a board speaks, after a boot if its power was away."""
        node = row.node
        if node is None or node.verdict is not Verdict.ONLINE:
            return False
        return self._action is not Action.CYCLE or node.boot_id != row.boot_id

    def _end_all(
        self, phase: Phase, now: float, *, error: str = "", verified: bool = False
    ) -> None:
        for key in self._keys:
            self.run.end(key, phase, now, error=error, verified=verified)
        self.step = Step.ENDED


def _key(row: Row) -> str:
    return row.node.id if row.node is not None else row.name
