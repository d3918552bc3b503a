"""One outlet on its way off, on, or off and on again; pure.

Off means: every board it feeds was pinged while it ran, was asked to shut down and is
proven down, then a pause for the cards to finish, then the cut, then the reading back.
A board that cannot be asked stops the whole command before any board is told; one that
does not go down keeps its outlet on. Only ``force`` cuts all the same, and such a row
is never verified. See ``power/evidence.py``.

Every step that matters is on disk before it is taken. What a restart makes of it is in
``docs/decisions/resume-or-report.md``: what brings power back goes on, a cut that had
not happened never happens, and nothing is passed over in silence.
"""
# long: one state machine, whose steps are only understood together.

import enum
from collections.abc import Callable

from broker.contract.messages import Askable, Phase, Power, RowCode, Status
from broker.contract.verbs import PowerAction, Verb
from master_service.power.evidence import (
    came,
    came_back,
    cannot_come,
    is_down,
    note_halted,
    row_ruling,
)
from master_service.power.power_command import FORCE, awaited, given_up
from master_service.power.switching import ATTEMPTS
from master_service.presence.availability import inability, reachable
from master_service.presence.judge import BOOT_MARGIN
from master_service.presence.rack import Rack
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import (
    Commit,
    Effects,
    OutletSwitched,
    Persist,
    PingBoard,
    SwitchOutlet,
)
from master_service.rack.node import PingState, RackNode
from master_service.rack.outlet_state import UNTIL_ON, OutletState
from master_service.rack.records import PartRecord
from master_service.rack.settings import OutletRow
from master_service.rack.times import Moment

ShutDown = Callable[[CommandRun, RackNode, Moment], Effects]
"""Returns the order to shut a board down; the dispatcher of commands has it."""

LOOK_EVERY_S = 1.0
"""Between two readings of an outlet that may still move."""
FIRST_LOOK_S = 30.0
"""Seconds that an outlet which does not answer after a restart is waited for."""
SWITCH_S = 240.0
"""Seconds after which a switching is given up: longer than every attempt together."""
LOOK_S = 10.0
"""Seconds for the pings before the first board is told; most answer at once."""
PINGS = 3
"""Pings of a board that runs and does not answer: one may be lost."""
NAMED = 3
"""Boards named as the reason why others were left alone."""
RESTARTED = "the master was restarted before the cut"
BLIND = "the master was restarted at the cut, and the outlet does not tell its level"
NO_LEVEL = "its outlet was switched, but does not tell its level"


class JobStep(enum.StrEnum):
    """How far an outlet is.

    ``off`` goes from looking to cutting, ``on`` from resting to booting, ``cycle``
    from one end to the other.
    """

    PLANNED = "planned"
    """Waits until every board was judged, then begins to stop them."""
    LOOKING = "looking"
    """Its boards are pinged and judged; none is told anything yet."""
    STOPPING = "stopping"
    """Boards were told to shut down, and are not all proven down."""
    SETTLING = "settling"
    """All are down; their cards finish."""
    CUTTING = "cutting"
    """The wanted state is on disk, and the outlet is being switched off."""
    RESTING = "resting"
    """Off, until it was so for long enough and its turn has come."""
    FEEDING = "feeding"
    """The wanted state is on disk, and the outlet is being switched on."""
    BOOTING = "booting"
    """On; the boards are not all back."""
    ENDED = "ended"


_BEFORE_THE_CUT = frozenset(
    {JobStep.PLANNED, JobStep.LOOKING, JobStep.STOPPING, JobStep.SETTLING}
)


class Job:
    """One outlet under way.

    Args:
        rack: Where its boards are known.
        run: The command it is a part of; ``keys`` are its rows there.
        action: What is asked.
        keys: Rows of the boards it feeds; one of its own if it feeds none.
        shut_down: Gives the order to a board.
        alone: Come on only when no other outlet is coming on.
        before: The level it had when this began; None: as it is.
        wanted: What was wanted before; None: as it is.
    """

    def __init__(
        self,
        rack: Rack,
        run: CommandRun,
        outlet: OutletState,
        action: PowerAction,
        keys: list[str],
        *,
        shut_down: ShutDown,
        alone: bool = False,
        before: Power | None = None,
        wanted: Power | None = None,
    ) -> None:
        self._rack = rack
        self._settings = rack.settings
        self._shut_down = shut_down
        self.run = run
        self.outlet = outlet
        self.action = action
        self.alone = alone
        self.before = outlet.seen if before is None else before
        self.wanted = outlet.wanted if wanted is None else wanted
        self._owed = outlet.owed
        self.step = JobStep.RESTING if action is PowerAction.ON else JobStep.PLANNED
        self.keys = keys
        self._until = 0.0
        self._refusals: dict[str, str] = {}
        self._fed_at = 0.0
        self._loads = False
        self._looking: float | None = None
        self._look_due = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.step is JobStep.ENDED

    @property
    def coming(self) -> bool:
        """Whether it was switched on and its boards still draw their most."""
        return self._loads and self.step in {JobStep.FEEDING, JobStep.BOOTING}

    @property
    def record(self) -> PartRecord:
        """What belongs on disk."""
        return self.run.record(
            self.keys,
            outlet=self.outlet.row.name,
            action=self.action.value,
            step=self.step.value,
            before=self.before.value,
            wanted=self.wanted.value,
            alone=self.alone,
        )

    def begin(self, at: Moment) -> Effects:
        """Pings the boards, or goes straight to switching on."""
        if self.action is PowerAction.ON:
            self._rest(at)
            return []
        self.step, self._until = JobStep.LOOKING, at.now + LOOK_S
        effects: Effects = []
        for node, row in self._boards():
            ruling = row_ruling(self._rack, self.outlet, row, at.now)
            if ruling is not None and (ruling.ping or reachable(node)):
                effects += _ping(node, row, at.now)
        return effects

    def look(self, now: float) -> tuple[bool, Effects]:
        """Returns whether pings are still awaited, and those that are sent again."""
        waits, effects = False, Effects()
        for node, row in self._boards():
            if not row.pings or now >= self._until:
                continue
            answered = (
                node.probe is not PingState.UNASKED and node.probe_at >= row.pinged_at
            )
            again = (
                node.probe is PingState.SILENT and reachable(node) and row.pings < PINGS
            )
            waits |= again or not answered
            if answered and again:
                effects += _ping(node, row, now)
        return waits, effects

    def judge(self, now: float) -> dict[str, str]:
        """Returns why boards cannot be asked, by row; none that ``force`` gives up."""
        against: dict[str, str] = {}
        for key, row in self._open():
            ruling = row_ruling(self._rack, self.outlet, row, now)
            if ruling is None:
                continue
            why = ruling.why
            if ruling.askable is Askable.MUST_BE_ASKED:
                if not ruling.ping:
                    continue
                why = "it did not come to a ping of it in time"
            elif ruling.askable is not Askable.CANNOT_BE_ASKED:
                row.down_at = now
                continue
            row.unproven = f"cannot be asked to shut down: {why}"
            if not given_up(row, self._args):
                against[key] = row.unproven
        return against

    def refuse_all(self, against: dict[str, str], now: float) -> Effects:
        """Leaves the outlet as it is: a board of the command cannot be asked.

        Args:
            against: Why, by row; also rows of other outlets.
        """
        names = _names([self.run.rows[key].name for key in against])
        for key in self.keys:
            row, why = self.run.rows[key], against.get(key)
            error, code = f"not cut, because of {names}", RowCode.BECAUSE_OF_OTHERS
            if why is not None:
                error = f"{why}; {self._force(f'={row.name}')} cuts it all the same"
                code = RowCode.CANNOT_BE_ASKED
            self.run.end(key, Phase.REFUSED, now, error=error, code=code)
        return self._ended()

    def stop_boards(self, at: Moment) -> Effects:
        """Tells every board that is up and can hear it to shut down."""
        self.step = JobStep.STOPPING
        self._until = at.now + self._settings.master.stop_s
        told: Effects = []
        for node, row in self._boards():
            able = reachable(node) and not inability(node, Verb.SHUTDOWN.value, ())
            if row.down_at is None and able:
                told += self._shut_down(self.run, node, at)
        return told

    def advance(self, at: Moment, may_come: Callable[["Job"], bool]) -> Effects:
        """Goes on if it is time to.

        Args:
            may_come: Returns whether there is room to switch an outlet on.
        """
        match self.step:
            case JobStep.STOPPING:
                return self._stopping(at)
            case JobStep.SETTLING if at.now >= self._until:
                return self._cut(at.now)
            case JobStep.RESTING if at.now >= self._until and may_come(self):
                return self._switch(at.now, on=True)
            case JobStep.CUTTING | JobStep.FEEDING:
                return self._switching(at)
            case JobStep.BOOTING:
                return self._booting(at.now)
            case _:
                return []

    def switched(self, done: OutletSwitched, at: Moment) -> Effects:
        """Goes on with the result of a switching; the outlet was read back by now."""
        # What an earlier command had switched is not a result of this one.
        if self.step is not (JobStep.FEEDING if done.on else JobStep.CUTTING):
            return []
        if done.error:
            return self._failed(done.error, at.now, begun=done.begun)
        if done.already:
            self._end_halted(at.now)
        if self.step is JobStep.FEEDING:
            return self._feed(at.now)
        if self.action is PowerAction.OFF:
            return self._is_off(at.now)
        self._rest(at)
        return [Persist(self.record), Commit()]

    def _rest(self, at: Moment) -> None:
        """Waits until it was off for long enough and its turn has come."""
        self.step, self._until = JobStep.RESTING, at.now
        if self.outlet.level is Power.OFF and self.outlet.changed:
            since_off_s = max(0.0, self.outlet.unchanged_s(at))
            self._until += max(0.0, self._settings.power.min_off_s - since_off_s)
        elif self.action is PowerAction.CYCLE:
            self._until += self._settings.power.min_off_s

    def _feed(self, now: float) -> Effects:
        """Waits for the boards to come; one that was never known is not waited for."""
        self.step, self._fed_at = JobStep.BOOTING, now
        patience_s = 0.0
        for key, _ in self._open():
            node = awaited(self.run, key)
            if node is None:
                self._done(key, now, verified=self._reads_on)
                continue
            self.run.mark(key, Phase.RUNNING, now)
            boot_s = node.boot_s or self._settings.master.boot_s
            patience_s = max(patience_s, BOOT_MARGIN * boot_s)
        self._until = now + patience_s
        return self._booting(now) or [Persist(self.record), Commit()]

    def unsure(self, now: float) -> bool:
        """Returns whether the outlet is to be read now: it may still move."""
        if self._looking is None or now < self._look_due:
            return False
        self._look_due = now + LOOK_EVERY_S
        return True

    def resume(self, step: JobStep, at: Moment) -> Effects:
        """Goes on after a restart, or reports that it was interrupted.

        Args:
            step: How far the outlet was, which was read by now if it answers.
        """
        match step:
            case JobStep.ENDED:
                self.step = JobStep.ENDED
                return []
            case JobStep.RESTING | JobStep.FEEDING | JobStep.BOOTING:
                return self._bring_back(at)
            case JobStep.CUTTING:
                return self._resume_cut(at)
            case _:
                return self._interrupted(at.now)

    def cancel(self, why: str, now: float) -> tuple[Effects, str]:
        """Stops where it can be stopped; no board is left without power by that.

        Args:
            why: Who cancelled it.

        Returns:
            What is to be done, and why it goes on; empty if it does not.
        """
        if self.step is JobStep.RESTING and self.action is PowerAction.ON:
            # Also if it was owed: after a restart, or after an attempt that failed.
            self.outlet.want(self.wanted)
            abandoned = self._abandon(why, now)
            return [Persist(self.outlet.record()), *abandoned, Commit()], ""
        if self.step in _BEFORE_THE_CUT:
            return self._abandon(why, now), ""
        if self.action is PowerAction.CYCLE:
            return [], "its power was cut already, so it goes on until it is back"
        return [], f"its outlet is {self.step} already, so it goes on"

    @property
    def looking(self) -> bool:
        """Whether it waits to see what the outlet does."""
        return self._looking is not None

    def _resume_cut(self, at: Moment) -> Effects:
        """Goes on from a restart at the cut: did it happen, and may it still?"""
        seconds = in_flight_s(self.outlet.row)
        if self.action is PowerAction.CYCLE:
            # A cycle wants on, also where an older master wrote down "off" for its cut.
            self.outlet.want(Power.ON, owed=True)
        if seconds or not self.outlet.read:
            self.step, self._looking = JobStep.CUTTING, at.now + seconds
            self._until = at.now + seconds + FIRST_LOOK_S
            return []
        if self.outlet.level is Power.ON:
            return self._interrupted(at.now)
        return self._after_cut(at)

    def _after_cut(self, at: Moment) -> Effects:
        """Goes on from a cut that happened, or of which nothing is known."""
        if self.action is PowerAction.CYCLE:
            return self._bring_back(at)
        if self.outlet.level is Power.OFF:
            self.outlet.want(Power.OFF)
            return self._is_off(at.now)
        return self._abandon(BLIND, at.now)

    def _bring_back(self, at: Moment) -> Effects:
        """Brings power back, or waits for the boards if it is back."""
        self._looking = None
        if self.outlet.level is Power.ON:
            self.outlet.want(Power.ON)
            return [Persist(self.outlet.record()), *self._feed(at.now)]
        self.outlet.want(Power.ON, owed=True)
        self._rest(at)
        return []

    def _interrupted(self, now: float) -> Effects:
        """Ends as interrupted; what is wanted is what was wanted before."""
        self.outlet.want(self.wanted, owed=self._owed)
        ended = self._abandon(RESTARTED, now)
        return [Persist(self.outlet.record()), *ended, Commit()]

    def _is_off(self, now: float) -> Effects:
        """Ends with what the outlet reads, which is off if it tells."""
        verified = self.outlet.level is Power.OFF
        error = "" if verified else NO_LEVEL
        for key in self.keys:
            self._done(key, now, error=error, verified=verified)
        return self._ended()

    def _abandon(self, why: str, now: float) -> Effects:
        """Leaves the outlet as it is, and says so in the row of each board."""
        phase = Phase.NOT_DELIVERED
        if any(self.run.rows[key].told for key in self.keys):
            phase = Phase.FAILED
        for key in self.keys:
            error = f"its outlet was not switched: {why}"
            if self.run.rows[key].told:
                error += f"; it was told to shut down: {self._way_back}"
            self.run.end(key, phase, now, error=error)
        return self._ended()

    def refuse(self, key: str, error: str) -> None:
        """Notes why a board did not or will not shut down; the first reason stays."""
        self._refusals.setdefault(key, error)

    def waits_for(self, key: str) -> bool:
        """Returns whether it waits for this board to go down."""
        return self.step is JobStep.STOPPING and key in self.keys

    @property
    def _reads_on(self) -> bool:
        return self.outlet.level is Power.ON

    @property
    def _args(self) -> tuple[str, ...]:
        return self.run.asked.command.args

    def _force(self, board: str = "") -> str:
        """Returns the words that cut all the same: those of who asked."""
        run, by = self._rack.locks.run, self.run.asked.command.by
        if run and by == run:
            return f"`install start {FORCE}`"
        return f"`power {self.action} {FORCE}{board}`"

    @property
    def _way_back(self) -> str:
        stack = self.outlet.row.stack
        scope = self.run.asked.scope if stack is None else f"stack/{stack}"
        return f"`power cycle {scope}` brings it back"

    def _open(self) -> list[tuple[str, CommandRow]]:
        """Returns the rows that something is still to come of."""
        rows = [(key, self.run.rows[key]) for key in self.keys]
        return [(key, row) for key, row in rows if row.open]

    def _boards(self) -> list[tuple[RackNode, CommandRow]]:
        """Returns the nodes it feeds that something is still to come from."""
        rows = [row for _, row in self._open()]
        return [(row.node, row) for row in rows if row.node is not None]

    def _end_halted(self, now: float) -> None:
        """Says that no switching on brings back who was shut down under power."""
        for node, _ in self._boards():
            if error := cannot_come(node, self.outlet.level):
                self.run.end(node.id, Phase.FAILED, now, error=error)

    def _stopping(self, at: Moment) -> Effects:
        for node, row in self._boards():
            if row.down_at is None and is_down(self._rack, node, at.now):
                note_halted(self._rack, self.run, row, at.now)
        up = [key for key, row in self._open() if row.down_at is None]
        waiting = [
            key for key in up if self.run.rows[key].told and key not in self._refusals
        ]
        if waiting and at.now < self._until:
            return []
        for key in waiting:
            self.refuse(key, f"not down within {self._settings.master.stop_s:.0f} s")
        if self._obstructed():
            return self._give_up(at.now)
        self.step, settle_s = JobStep.SETTLING, self._settings.power.settle_s
        left = [
            n for n, row in self._boards() if row.told or _left(n, at.now, settle_s)
        ]
        self._until = at.now + settle_s if left else at.now
        if not left:
            return self._cut(at.now)
        # Pinged once more: what one lost answer made of a board is seen before the cut.
        return [PingBoard(node.id) for node in left]

    def _cut(self, now: float) -> Effects:
        """Switches off, unless a board came back meanwhile."""
        for node, row in self._boards():
            if row.down_at is not None and came_back(node, row.down_at):
                self.refuse(node.id, "it came back after it was down")
        if self._obstructed():
            return self._give_up(now)
        return self._switch(now, on=False)

    def _obstructed(self) -> bool:
        """Returns whether a board that is not given up did not or will not go down."""
        left = set(self._refusals)
        for key, why in self._refusals.items():
            row = self.run.rows[key]
            if given_up(row, self._args):
                row.unproven = row.unproven or why
                left.discard(key)
        return bool(left)

    def _give_up(self, now: float) -> Effects:
        """Leaves the outlet as it is, and writes into each board's row why."""
        names = _names([self.run.rows[key].name for key in self._refusals])
        for key in self.keys:
            row, own = self.run.rows[key], self._refusals.get(key)
            error, code = f"not cut, because of {names}", RowCode.BECAUSE_OF_OTHERS
            if own:
                error = f"{own}; {self._force()} cuts all the same"
                code = RowCode.NOT_DOWN
            elif row.told:
                error += f"; it was shut down itself: {self._way_back}"
            self.run.end(key, Phase.FAILED, now, error=error, code=code)
        return self._ended()

    def _done(self, key: str, now: float, *, error: str = "", verified: bool) -> None:
        """Ends a row as done; what was cut without evidence is never verified."""
        row, code = self.run.rows[key], RowCode.NONE
        if row.unproven and self.action is not PowerAction.ON:
            cut = f"cut without evidence that it was down: {row.unproven}"
            error = "; ".join(filter(None, (error, cut)))
            verified, code = False, RowCode.CUT_UNASKED
        self.run.end(key, Phase.DONE, now, error=error, verified=verified, code=code)

    def _switch(self, now: float, *, on: bool) -> Effects:
        """Puts the wanted state on disk, and only then switches."""
        off = self.action is PowerAction.OFF
        self.outlet.want(Power.OFF if off else Power.ON, owed=not off)
        # An outlet that seems to be on is asked first: nothing would come of it.
        look = on and self._reads_on and self.action is PowerAction.ON
        self.step = JobStep.FEEDING if on else JobStep.CUTTING
        self._until = now + SWITCH_S
        self._loads = on and not self._reads_on
        name = self.outlet.row.name
        return [
            Persist(self.outlet.record()),
            Persist(self.record),
            Commit(),
            SwitchOutlet(name, on, look=look),
        ]

    def _failed(self, error: str, now: float, *, begun: bool = True) -> Effects:
        """Ends with an error, and says how the outlet is left and how to go on.

        Args:
            error: What went wrong.
            begun: Whether the outlet was told at all.
        """
        self._looking = None
        if self.step is JobStep.CUTTING and not begun:
            self.outlet.want(self.wanted, owed=self._owed)
            left = "" if self.outlet.read else "; its level is not known"
        elif self.action is PowerAction.OFF:
            self.outlet.want(self.wanted)
            left = "" if self.outlet.read else "; its level is not known"
        else:
            # Also if it reads on: what it was told may still come.
            self.outlet.want(Power.ON, owed=True)
            left = f"; {UNTIL_ON}"
        self.outlet.set_fault(error)
        for key in self.keys:
            row, told = self.run.rows[key], ""
            if row.told and self.step is JobStep.CUTTING:
                told = f"; it was shut down: {self._way_back}"
            self.run.end(key, Phase.FAILED, now, error=error + left + told)
        return [Persist(self.outlet.record()), *self._ended(), Commit()]

    def _switching(self, at: Moment) -> Effects:
        if self._looking is not None:
            return self._look_again(at)
        if at.now < self._until:
            return []
        error = f"outlet {self.outlet.row.name} did not answer in {SWITCH_S:.0f} s"
        self.outlet.lost_sight(error, switching=True)
        return self._failed(error, at.now)

    def _look_again(self, at: Moment) -> Effects:
        """Looks what became of what the outlet was told before a restart."""
        if self.outlet.level is Power.OFF:
            self._looking = None
            return self._after_cut(at)
        if self._looking is None or at.now < self._looking:
            return []
        if self.outlet.read and self.outlet.level is Power.ON:
            self._looking = None
            effects = self._interrupted(at.now)
            if self.action is PowerAction.CYCLE:
                # Told once more: it comes on again if it is later still with the cut.
                self.outlet.want(Power.ON, owed=True)
                effects.append(Persist(self.outlet.record()))
            return effects
        if (
            self.outlet.read
            or at.now >= self._until
            or self.action is PowerAction.CYCLE
        ):
            self._looking = None
            return self._after_cut(at)
        return []

    def _booting(self, now: float) -> Effects:
        cycled = self.action is PowerAction.CYCLE
        for node, row in self._boards():
            if came(row, rebooted=cycled):
                self._done(node.id, now, verified=bool(row.boot_id) or not cycled)
            elif now >= self._until:
                waited_s = self._until - self._fed_at
                error = f"its outlet is on, but it did not come in {waited_s:.0f} s"
                self.run.end(node.id, Phase.FAILED, now, error=error)
        return [] if self._boards() else self._ended()

    def _ended(self) -> Effects:
        self.step = JobStep.ENDED
        # A command that was over at once was never on disk: a record would stay there,
        # and the next start would take it up and answer it once more.
        return [Persist(self.record)] if self.run.kept else []


def in_flight_s(row: OutletRow) -> float:
    """Returns how long an outlet may take for what it was told, seconds.

    A plug, or what a program talks to, may still do what a master told it that was
    killed since: one attempt after the other. A pin moves at once.
    """
    if row.commands is not None:
        return ATTEMPTS * row.commands.timeout_s
    return 0.0 if row.plug is None else ATTEMPTS * row.plug.timeout_s


def _ping(node: RackNode, row: CommandRow, now: float) -> Effects:
    row.pings, row.pinged_at = row.pings + 1, now
    return [PingBoard(node.id)]


def _left(node: RackNode, now: float, settle_s: float) -> bool:
    """Returns whether a board left so lately that its card may be busy."""
    return node.status is Status.OFFLINE and now - node.status_at < settle_s


def _names(names: list[str]) -> str:
    """Returns the first few of some names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
