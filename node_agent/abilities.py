"""What a node can do, found out by asking and not by assuming."""

from collections.abc import AsyncIterator, Mapping

import msgspec

from broker.contract.messages import Ability
from broker.contract.verbs import Verb
from node_agent.actions import Action, Actions
from node_agent.runner import Runner, UnansweredError

OWN = (
    Ability(verb=Verb.PING, note="Answer at once"),
    Ability(verb=Verb.REFRESH, note="Send everything again"),
    Ability(verb=Verb.RUN, note="Run an alias with arguments"),
)
"""What every agent answers itself."""

RESTART = Ability(verb=Verb.RESTART_AGENT, note="Restart the agent, not the machine")
"""What one answers too that comes back when it ends."""

_NOT_YET = "not probed yet"


class Probed(msgspec.Struct, frozen=True):
    """What was found.

    Args:
        abilities: What works, the agent's own first.
        obstacles: Why the others do not, by verb.
        unanswered: Of which it is not known yet, and why, by verb: they are neither.
    """

    abilities: tuple[Ability, ...] = OWN
    obstacles: Mapping[str, str] = {}
    unanswered: Mapping[str, str] = {}

    def said(self, verb: str) -> str | None:
        """Return why an action does not work, empty if it does; None: not known."""
        if any(ability.verb == verb for ability in self.abilities):
            return ""
        return self.obstacles.get(verb)


async def probe(
    actions: Actions, runner: Runner, own: tuple[Ability, ...] = OWN
) -> Probed:
    """Return what is found by asking the runner about every action once.

    Args:
        actions: The aliases.
        runner: What would run them.
        own: What the agent answers itself.
    """
    found = Probed(own)
    async for found in probing(actions, runner, own):  # noqa: B007  # the last is the answer
        pass
    return found


async def probing(
    actions: Actions,
    runner: Runner,
    own: tuple[Ability, ...] = OWN,
    before: Probed | None = None,
    *,
    again: bool = True,
) -> AsyncIterator[Probed]:
    """Asks the runner about one action after the other; yields what is known so far.

    One at a time: while a board boots, many at once are answered by none in time.

    Args:
        actions: The aliases.
        runner: What would run them.
        own: What the agent answers itself.
        before: What was known: it holds until there is an answer.
        again: Ask also about what was answered before.
    """
    answers = {
        action.verb: (before or Probed(())).said(action.verb) for action in actions
    }
    waiting: dict[str, str] = {}
    asked = [one for one in actions if again or answers[one.verb] is None]
    yield _summed(actions, own, answers, waiting)
    for action in asked:
        try:
            answers[action.verb] = await _why_not(action, runner)
        except UnansweredError as error:
            waiting[action.verb] = str(error)
        yield _summed(actions, own, answers, waiting)


def _summed(
    actions: Actions,
    own: tuple[Ability, ...],
    answers: Mapping[str, str | None],
    waiting: Mapping[str, str],
) -> Probed:
    return Probed(
        (*own, *(one.ability for one in actions if answers[one.verb] == "")),
        {verb: why for verb, why in answers.items() if why},
        {
            verb: waiting.get(verb, _NOT_YET)
            for verb, why in answers.items()
            if why is None
        },
    )


async def _why_not(action: Action, runner: Runner) -> str:
    return action.withheld or await runner.why_not(action.sample())
