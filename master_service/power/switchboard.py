"""``power on|off|cycle``: which outlets it means, and their way there; pure."""

from broker.messages import EventKind, Phase, Result
from broker.topics import Scope, ScopeKind
from master_service.commands.effects import (
    Commit,
    Effects,
    KeepDone,
    Moment,
    RefusedError,
)
from master_service.commands.orders import Orders
from master_service.commands.run import Row, Run
from master_service.events import Draft
from master_service.node import Node
from master_service.power.job import Action, Job
from master_service.power.panel import Fed
from master_service.rack import Rack

FORCE = "force"
_USAGE = "write `power on`, `power off`, `power cycle`, the last two also with `force`"


class Switchboard:
    """Carries out power commands.

    Args:
        rack: The rack.
        orders: Sends the orders to shut down.
    """

    def __init__(self, rack: Rack, orders: Orders) -> None:
        self._rack = rack
        self._orders = orders
        self._jobs: dict[str, Job] = {}

    def action(self, run: Run) -> tuple[Action, bool]:
        """Return what is asked and whether by force.

        Raises:
            RefusedError: It is none of the few things that can be asked.
        """
        args = run.asked.command.args
        try:
            action = Action(args[0])
        except (IndexError, ValueError):
            text = f"power {' '.join(args)!r} is not known; {_USAGE}"
            raise RefusedError(text) from None
        if args[1:] not in {(), (FORCE,)} or (args[1:] and action is Action.ON):
            text = f"power {' '.join(args)!r} is not known; {_USAGE}"
            raise RefusedError(text)
        return action, bool(args[1:])

    def outlets(self, scope: Scope) -> list[Fed]:
        """Return the outlets that a scope means.

        Raises:
            RefusedError: There are none, or one also feeds a board outside the scope.
        """
        if scope.kind is ScopeKind.RACK:
            found = list(self._rack.panel.outlets.values())
        elif scope.kind is ScopeKind.STACK:
            found = self._of_stack(int(scope.name))
        else:
            found = self._of_nodes(scope)
        if not found:
            text = f"no outlet feeds {scope}; [power] driver or [[outlet]] adds one"
            raise RefusedError(text)
        return found

    def hit(self, outlets: list[Fed]) -> list[Node]:
        """Return every node that loses power with some outlets."""
        feeder = self._rack.panel.of_node
        return [n for n in self._rack.registry.nodes.values() if feeder(n) in outlets]

    def begin(self, run: Run, outlets: list[Fed], at: Moment) -> Effects:
        """Start on every outlet.

        Raises:
            RefusedError: One of them is already on its way somewhere.
        """
        action, force = self.action(run)
        for fed in outlets:
            if fed.row.name in self._jobs:
                other = self._jobs[fed.row.name].run.asked
                text = f"busy: outlet {fed.row.name} by power command {other.id}"
                raise RefusedError(text)
        self._refuse_busy(self.hit(outlets))
        effects: Effects = [KeepDone(run.id), Commit()]
        for fed in outlets:
            job = Job(run, fed, action, self._rows(run, fed, at), force=force)
            self._jobs[fed.row.name] = job
            effects += job.begin(self._orders, self._rack.settings, at)
        return effects

    def result(self, run: Run, node: Node, result: Result, now: float) -> None:
        """Take what a node answers to its order to shut down."""
        if not result.phase.final or result.phase is Phase.DONE:
            return
        for job in self._jobs.values():
            if job.run is run and job.waits_for(node.id):
                job.refuse(node.id, result.error or f"exit code {result.exit_code}")
                self._rack.watch.expect(node, None, now)

    def switched(self, outlet: str, error: str, at: Moment) -> None:
        """Take what came of switching an outlet."""
        job = self._jobs.get(outlet)
        if job is None:
            return
        job.switched(self._rack.settings, error, at)
        asked = job.run.asked
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.POWER,
                text=error or f"outlet {outlet} was switched {job.fed.level}",
                stack=job.fed.row.stack,
                verb=asked.verb,
                by=asked.command.by,
                correlation=asked.id,
            )
        )

    def tick(self, at: Moment) -> Effects:
        """Let every outlet go on."""
        effects: Effects = []
        for name, job in list(self._jobs.items()):
            effects += job.advance(self._orders, self._rack.settings, at)
            if job.ended:
                del self._jobs[name]
                self._relieve(job, at.now)
        return effects

    def _relieve(self, job: Job, now: float) -> None:
        """Expect nothing any more of the boards of an outlet that is done."""
        for node in self.hit([job.fed]):
            if node.pending is not None:
                self._rack.watch.expect(node, None, now)

    def _rows(self, run: Run, fed: Fed, at: Moment) -> list[str]:
        """Add a row for each board an outlet feeds, or one for the outlet alone."""
        nodes = self.hit([fed])
        if not nodes:
            key = f"outlet {fed.row.name}"
            run.add(key, Row(None, key, at.now, at.now))
            return [key]
        for node in nodes:
            run.add(node.id, Row(node, node.name, at.now, at.now))
            run.sent(node.id)
        return [node.id for node in nodes]

    def _refuse_busy(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node.pending is not None:
                text = f"busy: {node.name}: {node.reason}"
                raise RefusedError(text)

    def _of_stack(self, stack: int) -> list[Fed]:
        nodes = self._rack.registry.in_stack(stack)
        found = {self._rack.panel.of_stack(stack)}
        found |= {self._rack.panel.of_node(node) for node in nodes}
        return _sorted(found)

    def _of_nodes(self, scope: Scope) -> list[Fed]:
        """Return the outlets of single nodes, if they feed nobody else."""
        nodes = self._rack.registry.targets(scope)
        found = _sorted({self._rack.panel.of_node(node) for node in nodes})
        others = [node.name for node in self.hit(found) if node not in nodes]
        if others:
            listed = ", ".join(sorted(others))
            text = f"{listed} would lose power with {scope}; ask for the stack instead"
            raise RefusedError(text)
        return found


def _sorted(found: set[Fed | None]) -> list[Fed]:
    return sorted((fed for fed in found if fed), key=lambda fed: fed.row.name)
