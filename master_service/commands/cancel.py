"""``cancel``: what has not begun never does; what has begun is told as such; pure.

At a scope it means the commands that were addressed to it, at ``rack`` all of them;
with an id, that one.
"""

from collections.abc import Iterable

from broker.contract.messages import Phase
from broker.contract.topics import ScopeKind
from broker.contract.verbs import Verb
from master_service.commands.effects import (
    Asked,
    Commit,
    Effects,
    Persist,
    RefusedError,
)
from master_service.commands.run import Row, Run
from master_service.power.switchboard import Switchboard
from master_service.rack.outlet_state import Fed
from master_service.rack.times import Moment

_UNDER_WAY = "was begun there already and cannot be called back"


def chosen(asked: Asked, runs: Iterable[Run], install: str) -> list[Run]:
    """Return the commands that are meant.

    What an install run switches is not among them: it would take its own hand for a
    broken outlet.

    Args:
        asked: The cancelling command.
        runs: All that is under way.
        install: Id of the install run under way; empty: none.

    Raises:
        RefusedError: There is none, or the words say nothing.
    """
    args = asked.command.args
    if len(args) > 1:
        text = f"cancel {' '.join(args)!r}: write nothing, or the id of a command"
        raise RefusedError(text)
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
        raise RefusedError(text)
    return found


def stop(by: Run, run: Run, power: Switchboard, at: Moment) -> Effects:
    """Stop one command as far as it can be, with a row for each open target.

    Args:
        by: The cancelling command, which gets the rows.
        run: The command to stop.
        power: Stops what is about power.
        at: This moment.
    """
    who = by.asked.command.by
    why = f"cancelled by {who}" if who else "cancelled"
    left = {key: row for key, row in run.rows.items() if row.open}
    effects: Effects = []
    if run.asked.verb == Verb.POWER:
        effects, goes_on = power.cancel(run, why, at)
    else:
        if run.waves is not None:
            run.waves.stop(why, at.now)
        goes_on = {key: _UNDER_WAY for key, row in left.items() if row.open}
    for key, row in left.items():
        mine = f"{run.id} {key}"
        by.add(mine, shown := Row(row.node, row.name, at.now, at.now))
        if key in goes_on:
            error = f"{_called(run)}: {goes_on[key]}"
            by.end(mine, Phase.REFUSED, at.now, error=error)
        else:
            shown.text = f"{_called(run)}: {row.error}"
            by.end(mine, Phase.DONE, at.now, verified=True)
    return effects


def forgo(by: Run, fed: Fed, at: Moment) -> Effects:
    """Try no more to switch an outlet on that did not come on.

    Args:
        by: The cancelling command, which gets a row.
        fed: The outlet.
        at: This moment.
    """
    fed.want(fed.wanted)
    key = f"outlet {fed.row.name}"
    by.add(key, row := Row(None, key, at.now, at.now))
    row.text = "it is not tried any more to switch it on"
    by.end(key, Phase.DONE, at.now, verified=True)
    return [Persist(fed.record()), Commit(by.id)]


def _called(run: Run) -> str:
    return f"{run.asked.verb} {run.asked.scope} (id {run.id})"
