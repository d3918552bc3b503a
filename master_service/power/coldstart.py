"""What to bring the outlets to after a mains cut; pure.

That there was one is known from the boot id of the master's own machine: it is another
than when the master ran last.
"""

from broker.contract.messages import Power
from master_service.power.steps import Action
from master_service.rack.outlet_state import Fed
from master_service.rack.settings import ColdStart, PowerSettings


def plan(outlets: list[Fed], power: PowerSettings) -> list[tuple[Fed, Action]]:
    """Return what must be switched, in the order given.

    Args:
        outlets: Those that nothing else is under way with; read back by now.
        power: ``[power]``: the policy of those that have none of their own.
    """
    wanted = [(fed, target(fed, power)) for fed in outlets]
    return [
        (fed, Action.ON if level is Power.ON else Action.OFF)
        for fed, level in wanted
        if level not in {Power.UNKNOWN, fed.level}
        # One that does not tell is brought on, and never cut.
        and (level is Power.ON or fed.read)
    ]


def target(fed: Fed, power: PowerSettings) -> Power:
    """Return the level an outlet shall have after a mains cut."""
    policy = fed.row.cold_start or power.cold_start
    match policy:
        case ColdStart.ON:
            return Power.ON
        case ColdStart.OFF:
            return Power.OFF
        case _:
            return fed.wanted
