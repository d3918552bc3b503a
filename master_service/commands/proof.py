"""Whether an order had its effect: seen, or not seen in time; pure.

An exit code of zero is only the beginning: a reboot is another boot id, a shutdown is
``offline`` and a ping without answer, a restart of the agent is another session of the
same boot, and an update says what it left.
"""

from broker.contract import update_report
from broker.contract.messages import Phase, Result, Status, Verdict
from broker.contract.verbs import Verb
from master_service.power.evidence import is_down, note_halted, ruling
from master_service.presence.availability import absence, reachable
from master_service.presence.rack import Rack
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import Effects, PingBoard
from master_service.rack.node import Pending, PingState, RackNode

BOARD_S = 2.5
"""Seconds a probe that a ping waits for may take, several places in its queue too."""
FRESH_PROBE_S = 5.0
"""A probe this young need not be repeated."""
RESTART_S = 60.0
"""Seconds an agent is given to end, to be started again and to connect."""
LONG_S = 10.0
"""Seconds after which a program is one that takes long."""
AWAY_S = 120.0
"""Seconds such an agent may be without a connection, the next repetition included."""
_SAME = {Verdict.HUNG: PingState.ANSWERED, Verdict.LOST: PingState.SILENT}
"""Verdicts whose reason says already what the board answered."""
LEAVING = frozenset({Verb.REBOOT, Verb.SHUTDOWN})
"""Verbs that take the board along; they have a deadline of their own."""


class Proof:
    """Follows the orders that were sent."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._settings = rack.settings.master

    def result(
        self, run: CommandRun, node: RackNode, result: Result, now: float
    ) -> None:
        """Takes a node's answer."""
        row = run.rows[node.id]
        if not row.open or not row.told:
            return
        row.result = result
        verb = run.verb
        if not result.phase.final:
            self._works_on(run, row, node, now)
        elif result.phase is not Phase.DONE:
            error = result.error or f"exit code {result.exit_code}"
            self._fail(run, row, error, now, result.phase)
        elif verb in LEAVING:
            run.mark(node.id, Phase.RUNNING, now)
        elif verb == Verb.RESTART_AGENT:
            self._restarts(run, row, node, now)
        elif verb == Verb.UPDATE:
            self._end_update(run, node, result, now)
        else:
            run.end(node.id, Phase.DONE, now, verified=verb == Verb.PING)

    def undelivered(self, run: CommandRun, key: str, why: str, now: float) -> None:
        """Ends the row of an order that could not be sent."""
        self._fail(run, run.rows[key], why, now, Phase.NOT_DELIVERED)

    def look(self, run: CommandRun, node: RackNode, now: float) -> Effects:
        """Checks whether the effect of an order is there, or cannot come any more."""
        row = run.rows[node.id]
        if not row.open or not (row.told or row.board_asked):
            return []
        match run.verb:
            case Verb.REBOOT:
                if node.boot_id != row.boot_id:
                    self._rack.tracker.expect(node, None, now)
                    run.end(node.id, Phase.DONE, now, verified=True)
            case Verb.SHUTDOWN:
                self._look_down(run, row, node, now)
            case Verb.RESTART_AGENT:
                self._look_restarted(run, row, node, now)
            case Verb.PING if row.board_asked:
                self._look_board(run, row, node, now)
            case Verb.PING:
                pass
            case _:
                self._look_left(run, row, node, now)
        return []

    def overdue(self, run: CommandRun, key: str, now: float) -> Effects:
        """Ends the row of a target whose time is over."""
        row = run.rows[key]
        node = row.node
        if node is None:
            return []
        waited_s = row.deadline - row.began
        if run.verb == Verb.PING and not row.board_asked:
            return self.ask_board(run, node, now)
        if run.verb == Verb.REBOOT:
            error = f"no other boot id within {waited_s:.0f} s; it is {node.verdict}"
        elif run.verb == Verb.SHUTDOWN:
            if self._left_unproven(run, row, node, now):
                return []
            error = f"not proven down within {waited_s:.0f} s; it is {node.verdict}"
        elif run.verb == Verb.RESTART_AGENT and row.phase is Phase.RUNNING:
            error = f"no other session of it in {RESTART_S:.0f} s; it is {node.verdict}"
        elif _left_since(node, row.began):
            error = _left_early(node)
        elif row.phase is Phase.RUNNING:
            quiet_s = self._settings.run_s
            error = f"still running, but no progress for {quiet_s:.0f} s"
        else:
            error = f"no answer in {waited_s:.0f} s"
        self._fail(run, row, error, now)
        return []

    def ask_board(self, run: CommandRun, node: RackNode, now: float) -> Effects:
        """Pings the board itself, for a ``ping`` that no agent answers."""
        row = run.rows[node.id]
        row.board_asked = True
        row.deadline = now + BOARD_S
        fresh = now - node.probe_at < FRESH_PROBE_S and not reachable(node)
        if fresh and node.probe is not PingState.UNASKED:
            self._look_board(run, row, node, now)
            return []
        return [PingBoard(node.id)]

    def _works_on(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        """Extends the deadline: the agent works on it, and repeats so while it does."""
        run.mark(node.id, Phase.RUNNING, now)
        run.news(node.id, now)
        if run.verb not in LEAVING:
            row.deadline = now + self._settings.run_s

    def _restarts(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        """Marks the agent as restarting, so that missing heartbeats are no outage."""
        run.mark(node.id, Phase.RUNNING, now)
        row.deadline = now + RESTART_S
        pending = Pending(Verb.RESTART_AGENT, run.asked.command.by, row.deadline)
        self._rack.tracker.expect(node, pending, now)

    def _end_update(
        self, run: CommandRun, node: RackNode, result: Result, now: float
    ) -> None:
        """Ends an update with what was read back; an exit code alone proves nothing."""
        seen = update_report.found(result.stdout)
        error = "" if seen else "exit code 0, but it does not say what it left"
        if seen and seen.left:
            error = f"it left updates: {seen.left}"
        verified = seen is not None and not seen.left
        run.end(node.id, Phase.DONE, now, error=error, verified=verified)

    def _look_restarted(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        """Looks for another session, after the agent said that it restarts.

        Otherwise another session is only another connection.
        """
        said = row.result is not None and row.result.phase is Phase.DONE
        details = node.details
        if not said or details is None or details.session == row.session:
            return
        self._rack.tracker.expect(node, None, now)
        if details.boot_id == row.boot_id:
            run.end(node.id, Phase.DONE, now, verified=True)
        else:
            error = "its boot id is another one: the board rebooted, not only its agent"
            run.end(node.id, Phase.FAILED, now, error=error)

    def _look_left(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        """Checks whether an agent left before it answered.

        What runs for long goes on without a connection, and its agent tells the end of
        it when it is back; only what was just begun is given up with the connection.
        """
        if not _left_since(node, row.began):
            return
        if node.goodbye or node.status_at - row.began < LONG_S:
            run.end(node.id, Phase.FAILED, now, error=_left_early(node))
        else:
            row.deadline = min(row.deadline, node.status_at + AWAY_S)

    def _look_down(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        if _left_since(node, row.began) and is_down(self._rack, node, now):
            note_halted(self._rack, run, row, now)
            run.end(node.id, Phase.DONE, now, verified=True)

    def _left_unproven(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> bool:
        """Ends a shutdown after which silence proves nothing, if it had all its time.

        A board that never answered a ping, or cannot be pinged, said goodbye: that is
        all that will ever be known. It is done, and not verified.
        """
        left = _left_since(node, row.began) and bool(node.goodbye)
        provable = node.answers_ping and node.probe is not PingState.UNAVAILABLE
        if not left or provable or node.probe is PingState.ANSWERED:
            return False
        error = f"not proven down: {ruling(self._rack, node, now).why}"
        note_halted(self._rack, run, row, now)
        run.end(node.id, Phase.DONE, now, error=error)
        return True

    def _look_board(
        self, run: CommandRun, row: CommandRow, node: RackNode, now: float
    ) -> None:
        """Ends a ``ping`` whose agent is silent with what the board answered."""
        if node.probe_at < row.began - FRESH_PROBE_S or node.probe is PingState.UNASKED:
            return
        board = {
            PingState.ANSWERED: "hung: the board answers ping, but no agent does",
            PingState.SILENT: "no answer to ping either",
        }.get(node.probe, f"not pinged: {node.probe_note}")
        if reachable(node):
            error = f"no answer in {self._settings.answer_s:.0f} s; {board}"
            run.end(node.id, Phase.FAILED, now, error=error)
        else:
            known = _SAME.get(node.verdict) is node.probe
            error = absence(node) if known else f"{absence(node)}; {board}"
            run.end(node.id, Phase.NOT_DELIVERED, now, error=error)

    def _fail(
        self,
        run: CommandRun,
        row: CommandRow,
        error: str,
        now: float,
        phase: Phase = Phase.FAILED,
    ) -> None:
        if row.node is None:
            return
        run.end(row.node.id, phase, now, error=error)
        pending = row.node.pending
        if pending is not None and pending.verb == run.verb:
            self._rack.tracker.expect(row.node, None, now)


def _left_since(node: RackNode, began: float) -> bool:
    return node.status is Status.OFFLINE and node.status_at >= began


def _left_early(node: RackNode) -> str:
    return f"its agent left before it answered: {node.reason}"
