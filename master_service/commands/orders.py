"""Orders to nodes: whom they may go to, when, and by when they are done; pure.

A command on many nodes goes a few at a time. A wave is over when each of its targets
is. A target that was known to be offline or unable at the beginning is answered then,
belongs to no wave and stops nothing: the command did not do that. Any other that is not
done is a failure.
"""

import difflib
from collections import deque

from broker.contract.messages import (
    Command,
    EventKind,
    OnFailure,
    Order,
    Phase,
    Status,
    TargetRow,
)
from broker.contract.verbs import WAVES, Verb
from master_service.commands.proof import LEAVING, Proof
from master_service.presence.availability import (
    absence,
    busy_with,
    inability,
    reachable,
    unable_because,
    wanted_ability,
)
from master_service.presence.judge import BOOT_MARGIN
from master_service.presence.rack import Rack
from master_service.rack.command import AskedCommand, CommandRefusedError
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import (
    Commit,
    Effects,
    Persist,
    PingBoard,
    SendOrder,
)
from master_service.rack.events import Draft
from master_service.rack.node import NEVER, Pending, RackNode
from master_service.rack.times import Moment

LEAVE_S = 30.0
"""Seconds a machine is given to go down before it can boot."""
_BY_BOOT_ID = frozenset({Verb.REBOOT, Verb.RESTART_AGENT})
"""Verbs that are proven by the boot id, another one or the same."""


class Orders:
    """Carries out commands that are orders to nodes."""

    def __init__(self, rack: Rack) -> None:
        self.proof = Proof(rack)
        """Follows what was sent."""
        self._rack = rack
        self._settings = rack.settings.master
        self._waves: dict[str, Waves] = {}

    def begin(self, run: CommandRun, nodes: list[RackNode], at: Moment) -> Effects:
        """Starts on the first targets of a command; the others wait their turn.

        Raises:
            CommandRefusedError: None of them can do it.
        """
        require_able(run.asked, nodes)
        effects: Effects = []
        keys: list[str] = []
        for node in nodes:
            run.add(node.id, CommandRow(node, node.name, at.now, NEVER))
            if _may_hear(run, node) and not self._obstacle(run, node):
                keys.append(node.id)
            else:
                effects += self._order(run, node, at)
        keys.sort(key=self._is_master)
        self._waves[run.id] = Waves(run.rows, run.asked.command, run.verb, keys)
        return effects + self.advance(run, at)

    def advance(self, run: CommandRun, at: Moment) -> Effects:
        """Starts on the next targets if it is time to, or ends those that never do."""
        waves = self._waves.get(run.id)
        if waves is None:
            return []
        culprit = waves.failed()
        if culprit:
            self.stop(run, f"stopped because {culprit} failed", at.now)
            return []
        effects: Effects = []
        keys = waves.next(at.now)
        if not waves.waiting:
            del self._waves[run.id]
        for key in keys:
            row = run.rows[key]
            row.began, row.deadline = at.now, at.now + self._settings.answer_s
            if row.node is not None:
                row.boot_id = row.node.boot_id
                effects += self._order(run, row.node, at)
        if waves.begun > 1 and keys:
            self._note_wave(run, waves, keys)
            if run.kept:
                effects[:0] = [Persist(run.record()), Commit()]
        return effects

    def waiting(self, run: CommandRun) -> bool:
        """Returns whether some target of a command has not begun."""
        return run.id in self._waves

    def stop(self, run: CommandRun, why: str, now: float) -> None:
        """Lets nothing more of a command begin, and ends the rows that wait."""
        waves = self._waves.pop(run.id, None)
        for key in waves.drop() if waves is not None else ():
            run.end(key, Phase.NOT_DELIVERED, now, error=f"not started: {why}")

    def shut_down(self, run: CommandRun, node: RackNode, at: Moment) -> Effects:
        """Returns the order to shut down as a part of switching its outlet off."""
        row = run.rows[node.id]
        row.began, row.deadline = at.now, at.now + self._settings.stop_s
        row.boot_id = row.boot_id or node.boot_id
        self._expect(run, node, Verb.SHUTDOWN, row.deadline, at.now)
        return [self._send(run, node, Verb.SHUTDOWN, at)]

    def _order(self, run: CommandRun, node: RackNode, at: Moment) -> Effects:
        """Returns the order to one node, or ends its row with the reason."""
        obstacle = self._obstacle(run, node)
        if obstacle:
            run.end(node.id, Phase.REFUSED, at.now, error=obstacle)
        elif _may_hear(run, node):
            verb = run.verb
            if verb in _BY_BOOT_ID and not node.boot_id:
                error = f"its boot id is not known yet, so no {verb} could be proven"
                run.end(node.id, Phase.REFUSED, at.now, error=error)
                return []
            if verb in LEAVING:
                return self._leave(run, node, Verb(verb), at)
            return [self._send(run, node, verb, at)]
        elif run.verb == Verb.PING:
            return self.proof.ask_board(run, node, at.now)
        else:
            run.end(node.id, Phase.NOT_DELIVERED, at.now, error=absence(node))
        return []

    def _obstacle(self, run: CommandRun, node: RackNode) -> str:
        why = inability(node, run.verb, run.asked.command.args)
        if why or not run.destructive:
            return why
        if why := busy_with(node):
            return why
        by, locks = run.asked.command.by, self._rack.locks
        locked = locks.against(node, by)
        # The same words for every board of a locked stack: a receipt says them once.
        shared = node.stack is not None and locks.against_stack(node.stack, by)
        return locked and (shared or locked)

    def _is_master(self, node_id: str) -> bool:
        """Returns whether it is the master's own board, which goes last."""
        return node_id == self._settings.node

    def _note_wave(self, run: CommandRun, waves: "Waves", keys: list[str]) -> None:
        names = ", ".join(run.rows[key].name for key in keys)
        number = f"{waves.begun} of {waves.whole}"
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.COMMAND,
                text=f"{run.verb} {run.asked.scope}: wave {number}: {names}",
                verb=run.verb,
                by=run.asked.command.by,
                correlation=run.id,
            )
        )

    def _leave(
        self, run: CommandRun, node: RackNode, verb: Verb, at: Moment
    ) -> Effects:
        row = run.rows[node.id]
        patience_s = self._settings.stop_s
        if verb is Verb.REBOOT:
            boot_s = node.boot_s or self._settings.boot_s
            patience_s = LEAVE_S + BOOT_MARGIN * boot_s
        row.deadline = at.now + patience_s
        self._expect(run, node, verb, row.deadline, at.now)
        # Pinged while it still runs: silence proves nothing of a board that is mute.
        asks = verb is Verb.SHUTDOWN and not node.answers_ping
        ping: Effects = [PingBoard(node.id)] if asks else []
        return [*ping, self._send(run, node, verb, at)]

    def _expect(
        self, run: CommandRun, node: RackNode, verb: Verb, deadline: float, now: float
    ) -> None:
        pending = Pending(verb, run.asked.command.by, deadline)
        self._rack.tracker.expect(node, pending, now)

    def _send(
        self, run: CommandRun, node: RackNode, verb: str, at: Moment
    ) -> SendOrder:
        run.sent(node.id)
        asked, row = run.asked, run.rows[node.id]
        row.session = node.details.session if node.details is not None else ""
        left_s = max(0.0, asked.command.ttl_s - (at.now - row.began))
        order = Order(
            id=asked.id,
            verb=verb,
            args=asked.command.args if verb == asked.verb else (),
            ttl_s=left_s,
            expires=at.wall + left_s if self._rack.clock_synced else None,
            by=asked.command.by,
        )
        return SendOrder(node.id, order)


class Waves:
    """The targets of one command that have not begun, and when they may.

    Args:
        rows: Of the command.
        command: Says how many begin together, with what pause, and what stops it.
        keys: Rows that wait, in order.
    """

    def __init__(
        self, rows: dict[str, CommandRow], command: Command, verb: str, keys: list[str]
    ) -> None:
        self.begun = 0
        """Waves so far."""
        self._rows = rows
        self._command = command
        self._waiting = deque(keys)
        self._size = max(1, wave_size(verb, command, len(keys)))
        self._current: list[str] = []
        self._rest_until: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether some target has not begun."""
        return bool(self._waiting)

    @property
    def whole(self) -> int:
        """How many waves there are in all."""
        left = -(-len(self._waiting) // self._size)
        return self.begun + left

    def next(self, now: float) -> list[str]:
        """Returns the rows that begin now; none while a wave or a pause lasts."""
        if not self._waiting or any(self._rows[key].open for key in self._current):
            return []
        if self._current and self._rest_until is None:
            self._rest_until = now + self._command.pause_s
        if self._rest_until is not None and now < self._rest_until:
            return []
        self._rest_until = None
        count = min(self._size, len(self._waiting))
        self._current = [self._waiting.popleft() for _ in range(count)]
        self.begun += 1
        return list(self._current)

    def failed(self) -> str:
        """Returns the name of a target of this wave that failed, if that stops it."""
        if self._command.on_failure is not OnFailure.STOP:
            return ""
        rows = (self._rows[key] for key in self._current)
        bad = (r.name for r in rows if not r.open and r.phase is not Phase.DONE)
        return next(bad, "")

    def drop(self) -> list[str]:
        """Returns the rows that wait; none of them begins any more."""
        dropped = list(self._waiting)
        self._waiting.clear()
        return dropped


def wave_size(verb: str, command: Command, targets: int) -> int:
    """Returns how many targets a wave has."""
    asked = WAVES.get(verb, 0) if command.wave is None else command.wave
    return min(asked, targets) or targets


def require_able(asked: AskedCommand, nodes: list[RackNode]) -> None:
    """Refuses at once what none of the nodes asked can do.

    Raises:
        CommandRefusedError: None can; the text says once what they can, each row only
            why.
    """
    args = asked.command.args
    unable = {node.id: inability(node, asked.verb, args) for node in nodes}
    rest = [node for node in nodes if not unable[node.id]]
    if len(rest) == len(nodes) or any(n.abilities or reachable(n) for n in rest):
        return
    rows = (_refused_row(node, unable[node.id]) for node in nodes)
    text = _none_can(wanted_ability(asked.verb, args), nodes)
    raise CommandRefusedError(text, rows)


def _refused_row(node: RackNode, unable: str) -> TargetRow:
    """Returns the row of a node that is not asked; one never heard may yet be able."""
    phase = Phase.REFUSED if unable else Phase.NOT_DELIVERED
    error = unable or absence(node)
    return TargetRow(node=node.id, name=node.name, phase=phase, error=error)


def _none_can(wanted: str, nodes: list[RackNode]) -> str:
    """Says once what holds for all of them, and what would be right."""
    who = f"none of {len(nodes)} boards can" if len(nodes) > 1 else "it cannot"
    reasons = {unable_because(node, wanted) for node in nodes if node.abilities}
    if len(reasons) == 1 and "" not in reasons:
        return f"{who} {wanted!r}: {reasons.pop()}"
    known = sorted({verb for node in nodes for verb in node.abilities})
    verbs = [*known, *(verb.value for verb in Verb)]  # of the master's own, too
    near = difflib.get_close_matches(wanted, verbs, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{who} {wanted!r}; {meant}it can: {', '.join(known)}"


def _may_hear(run: CommandRun, node: RackNode) -> bool:
    """Returns whether an order has a chance, or is worth an attempt all the same."""
    return reachable(node) or (run.asked.attempt and node.status is Status.ONLINE)
