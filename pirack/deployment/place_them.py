"""Tells the master where the boards stand, for those that came to their slots."""

from collections.abc import Iterable

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import NodeState
from broker.contract.verbs import Verb
from pirack.deployment.ear import Ear
from pirack.enrolment import NotLetInError, command_node, know, receipt_error
from pirack.rack_config import RackAccess
from provisioning.deploy.report import DeployStep, Report, Trouble

_INSTALLED = frozenset({DeployStep.DONE, DeployStep.UNCHANGED})


def wanted(report: Report, state: NodeState | None) -> list[tuple[str, ...]]:
    """Return the commands that bring a board's name and place to the rack; pure.

    Args:
        report: What came of it.
        state: What the master thinks of it.
    """
    target = report.target
    if report.step not in _INSTALLED or target.stack is None or target.slot is None:
        return []
    commands: list[tuple[str, ...]] = []
    if target.name and (state is None or state.name != target.name):
        commands.append((Verb.NAME.value, target.name))
    place = (target.stack, target.slot)
    if state is None or (state.stack, state.slot) != place:
        commands.append((Verb.PLACE.value, *map(str, place)))
    return commands


async def place_them(
    house: RackAccess, ear: Ear, reports: Iterable[Report]
) -> tuple[list[Report], list[str]]:
    """Has the master know each board that has its agent, with its name and place.

    Args:
        house: The rack.
        ear: What the master says of the boards.
        reports: What came of each.

    Returns:
        The reports, of which those have failed whose board the master refuses to have
        in the rack; and what else was not done, in words.
    """
    placed, notes = list(reports), list[str]()
    for position, report in enumerate(placed):
        node = report.node
        try:
            if report.step in _INSTALLED and node not in ear.states:
                await know(house, node)
            for verb, *words in wanted(report, ear.states.get(node)):
                receipt = await command_node(house, node, verb, *words)
                if not receipt.ok:
                    notes.append(
                        f"{node}: {verb} {' '.join(words)}: {receipt_error(receipt)}"
                    )
        except NotLetInError as error:
            placed[position] = msgspec.structs.replace(
                report,
                step=DeployStep.FAILED,
                trouble=Trouble.NOT_JOINED,
                text=str(error),
            )
        except PiRackError as error:
            notes.append(f"names and places were not told the master: {error}")
            break
    return placed, notes
