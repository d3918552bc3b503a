"""Taking hold of the outlets at the start of the master; nothing is switched."""

import asyncio

from broker.contract.messages import EventKind, Power
from master_service.power.outlets import Outlets, PowerError, about
from master_service.power.switching import within
from master_service.presence.rack import Rack
from master_service.rack.outlet_state import Fed
from master_service.rack.times import Moment

CLAIM_S = 10.0
"""Seconds all outlets together hold up the start; who is slower is read later on."""


async def claim_all(outlets: Outlets, rack: Rack, at: Moment, *, cold: bool) -> None:
    """Claim each outlet at its recorded level, and read it; all at the same time.

    After a mains cut the recorded level is history: an outlet is then only read, and
    claimed if it is at that level already. Claiming would bring all that were on back
    at the same moment.

    Args:
        outlets: The driver.
        rack: The rack.
        at: This moment.
        cold: Whether this machine booted since the master ran last.
    """
    _name_those_gone(rack)
    all_fed = list(rack.panel.outlets.values())
    found = await asyncio.gather(
        *(_claimed(outlets, fed, cold=cold) for fed in all_fed)
    )
    for fed, level in zip(all_fed, found, strict=True):
        if isinstance(level, PowerError):
            fed.lost_sight(str(level))
            text = about(fed.row.name, str(level))
            rack.outbox.note(EventKind.FAULT, text, stack=fed.row.stack)
        else:
            first_reading(rack, fed, level, at, cold=cold)


def first_reading(
    rack: Rack, fed: Fed, level: Power, at: Moment, *, cold: bool = False
) -> None:
    """Take what an outlet reads before anything was seen of it.

    Args:
        rack: The rack.
        fed: The outlet.
        level: As read.
        at: This moment.
        cold: After a mains cut, where any level is as good as another.
    """
    wanted = fed.wanted
    if fed.read_back(level, at) and level is Power.ON:
        rack.judging.power_came(fed)
    if not cold and not fed.owed and wanted not in {level, Power.UNKNOWN}:
        found = f"outlet {fed.row.name} is {level}; {wanted} was wanted"
        text = f"{found}; left as it is"
        rack.outbox.note(EventKind.POWER, text, stack=fed.row.stack)


def _name_those_gone(rack: Rack) -> None:
    """Say which outlets were left on by taking them out of the configuration."""
    for record in rack.panel.gone:
        if record.level is Power.ON:
            gone = f"outlet {record.name} is not in the configuration any more"
            text = f"{gone}; it was on when last read, and is left as it is"
            rack.outbox.note(EventKind.FAULT, text)


async def _claimed(outlets: Outlets, fed: Fed, *, cold: bool) -> Power | PowerError:
    try:
        return await within(CLAIM_S, fed.row.name, _claim(outlets, fed, cold=cold))
    except PowerError as error:
        return error


async def _claim(outlets: Outlets, fed: Fed, *, cold: bool) -> Power:
    name = fed.row.name
    if not cold:
        # A level that was merely read is no reason to drive a line.
        await outlets.claim(name, fed.seen if fed.switched else Power.UNKNOWN)
        return await outlets.read(name)
    level = await outlets.read(name)
    if level is fed.seen and fed.switched:
        await outlets.claim(name, level)
    return level
