"""Taking hold of the outlets at the start of the master; nothing is switched."""

from broker.messages import EventKind, Power
from master_service.commands.effects import Moment
from master_service.power.outlets import Outlets, PowerError
from master_service.power.panel import Fed
from master_service.rack import Rack


async def claim_all(outlets: Outlets, rack: Rack, at: Moment, *, cold: bool) -> None:
    """Claim each outlet at its recorded level, and read it.

    After a mains cut the recorded level is history: an outlet is then only read, and
    claimed if it is at that level already. Claiming would bring all that were on back
    at the same moment.

    Args:
        outlets: The driver.
        rack: The rack.
        at: This moment.
        cold: Whether this machine booted since the master ran last.
    """
    for fed in rack.panel.outlets.values():
        try:
            level = await _claim(outlets, fed, cold=cold)
        except PowerError as error:
            fed.fault = str(error)
            rack.outbox.note(EventKind.FAULT, f"outlet {fed.row.name}: {error}")
            continue
        if fed.level not in {level, Power.UNKNOWN}:
            fed.changed = at.wall
        wanted = fed.wanted
        rack.panel.read_back(fed.row.name, level, at.now)
        fed.since = None
        if not cold and wanted not in {level, Power.UNKNOWN}:
            found = f"outlet {fed.row.name} is {level}; {wanted} was wanted"
            rack.outbox.note(EventKind.POWER, f"{found}; left as it is")


async def _claim(outlets: Outlets, fed: Fed, *, cold: bool) -> Power:
    name = fed.row.name
    if not cold:
        await outlets.claim(name, fed.level)
        return await outlets.read(name)
    level = await outlets.read(name)
    if level is fed.level:
        await outlets.claim(name, level)
    return level
