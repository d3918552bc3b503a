"""What a node can do, found out by asking and not by assuming."""

import asyncio
from collections.abc import Mapping

import msgspec

from broker.messages import Ability
from broker.verbs import Verb
from node_agent.actions import Action, Actions
from node_agent.runner import Runner

OWN = (
    Ability(verb=Verb.PING, note="Answer at once"),
    Ability(verb=Verb.REFRESH, note="Send everything again"),
    Ability(verb=Verb.RUN, note="Run an alias with arguments"),
)
"""What every agent answers itself."""

RESTART = Ability(verb=Verb.RESTART_AGENT, note="Restart the agent, not the machine")
"""What one answers too that comes back when it ends."""


class Probed(msgspec.Struct, frozen=True):
    """What was found.

    Args:
        abilities: What works, the agent's own first.
        obstacles: Why the others do not, by verb.
    """

    abilities: tuple[Ability, ...] = OWN
    obstacles: Mapping[str, str] = {}


async def probe(
    actions: Actions, runner: Runner, own: tuple[Ability, ...] = OWN
) -> Probed:
    """Ask the runner about every action, all at once.

    Args:
        actions: The aliases.
        runner: What would run them.
        own: What the agent answers itself.
    """
    known = list(actions)
    answers = await asyncio.gather(*(_why_not(action, runner) for action in known))
    found = list(zip(known, answers, strict=True))
    return Probed(
        (*own, *(action.ability for action, why in found if not why)),
        {action.verb: why for action, why in found if why},
    )


async def _why_not(action: Action, runner: Runner) -> str:
    return action.withheld or await runner.why_not(action.sample())
