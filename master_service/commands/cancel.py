"""``cancel``: what has not begun never does; what has begun is told as such; pure.

At a scope it means the commands that were addressed to it, at ``rack`` all of them;
with an id, that one.
"""

from collections.abc import Iterable

from broker.contract.messages import Phase
from broker.contract.topics import ScopeKind
from broker.contract.verbs import Verb
from master_service.commands.orders import Orders
from master_service.power.switchboard import Switchboard
from master_service.rack.command import AskedCommand, CommandRefusedError
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import Commit, Effects, Persist
from master_service.rack.outlet_state import OutletState
from master_service.rack.times import Moment

_UNDER_WAY = "was begun there already and cannot be called back"


def chosen(
    asked: AskedCommand, runs: Iterable[CommandRun], install: str
) -> list[CommandRun]:
    """Returns the commands that are meant.

    What an install run switches is not among them: it would take its own hand for a
    broken outlet.

    Args:
        asked: The cancelling command.
        runs: All that is under way.
        install: Id of the install run under way; empty: none.

    Raises:
        CommandRefusedError: There is none, or the words say nothing.
    """
    args = asked.command.args
    if len(args) > 1:
        text = f"cancel {' '.join(args)!r}: write nothing, or the id of a command"
        raise CommandRefusedError(text)
    everywhere = asked.scope.kind is ScopeKind.RACK
    free = [run for run in runs if not install or run.asked.command.by != install]
    within = [run for run in free if everywhere or run.asked.scope == asked.scope]
    found = [run for run in within if not args or run.id == args[0]]
    if not found:
        what = f"no command {args[0]!r}" if args else "nothing"
        text = f"{what} of {asked.scope} is under way"
        if within:
            text += f"; under way: {', '.join(map(_called, within))}"
        if install:
            text += f"; `install cancel` ends {install}"
        raise CommandRefusedError(text)
    return found


def stop(
    by: CommandRun, run: CommandRun, power: Switchboard, orders: Orders, at: Moment
) -> Effects:
    """Stops one command as far as it can be, with a row for each open target.

    Args:
        by: The cancelling command, which gets the rows.
        run: The command to stop.
        power: Stops what is about power.
        orders: Stops what is about orders.
    """
    who = by.asked.command.by
    why = f"cancelled by {who}" if who else "cancelled"
    left = {key: row for key, row in run.rows.items() if row.open}
    effects: Effects = []
    if run.verb == Verb.POWER:
        effects, goes_on = power.cancel(run, why, at)
    else:
        orders.stop(run, why, at.now)
        goes_on = {key: _UNDER_WAY for key, row in left.items() if row.open}
    for key, row in left.items():
        mine = f"{run.id} {key}"
        shown = CommandRow(row.node, row.name, at.now, at.now)
        if key in goes_on:
            by.add(mine, shown)
            error = f"{_called(run)}: {goes_on[key]}"
            by.end(mine, Phase.REFUSED, at.now, error=error)
        else:
            by.add_done(mine, shown, f"{_called(run)}: {row.error}")
    return effects


def forgo(by: CommandRun, outlet: OutletState, at: Moment) -> Effects:
    """Stops the attempts to switch an outlet on that did not come on.

    Args:
        by: The cancelling command, which gets a row.
    """
    outlet.want(outlet.wanted)
    key = f"outlet {outlet.row.name}"
    text = "it is not tried any more to switch it on"
    by.add_done(key, CommandRow(None, key, at.now, at.now), text)
    return [Persist(outlet.record()), Commit(by.id)]


def _called(run: CommandRun) -> str:
    return f"{run.verb} {run.asked.scope} (id {run.id})"
