"""Tells the master where the boards stand, for those that came to their slots."""

from collections.abc import Collection, Iterable

from broker.errors import PiRackError
from broker.messages import NodeState
from broker.verbs import Verb
from pirack.deployment.ear import Ear
from pirack.house import House
from pirack.node import rack
from pirack.node.add import know, why
from provisioning.deploy.target import Report


def wanted(report: Report, state: NodeState | None) -> list[tuple[str, ...]]:
    """Return the commands that bring a board's name and place to the rack; pure.

    Args:
        report: What came of it.
        state: What the master thinks of it.
    """
    target = report.target
    if not report.fine or target.stack is None or target.slot is None:
        return []
    commands: list[tuple[str, ...]] = []
    if target.name and (state is None or state.name != target.name):
        commands.append((Verb.NAME.value, target.name))
    place = (target.stack, target.slot)
    if state is None or (state.stack, state.slot) != place:
        commands.append((Verb.PLACE.value, *map(str, place)))
    return commands


async def place_them(
    house: House, ear: Ear, reports: Iterable[Report], new: Collection[str]
) -> list[str]:
    """Tell the master, and return what it did not do, in words.

    Args:
        house: The rack.
        ear: What the master says of the boards.
        reports: What came of each.
        new: Ids that had no password before: one may have been forgotten once.
    """
    notes: list[str] = []
    for report in reports:
        node = report.node
        try:
            if report.fine and node in new and node not in ear.states:
                await know(house, node)
            for verb, *words in wanted(report, ear.states.get(node)):
                receipt = await rack.command(house, node, verb, *words)
                if not receipt.ok:
                    notes.append(f"{node}: {verb} {' '.join(words)}: {why(receipt)}")
        except PiRackError as error:
            return [*notes, f"names and places were not told the master: {error}"]
    return notes
