"""Reading the outlets: all at the start, and then each in its turn.

Somebody may have pressed a button, or a plug be away. An outlet that says by itself
that it moved is read at once. Nothing here switches.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from broker.contract.messages import EventKind, Power
from master_service.power.outlets import Outlets, PowerError, Telling, about
from master_service.power.switching import Switcher, SwitchResult, within
from master_service.presence.rack import Rack
from master_service.rack.outlet_state import OutletState
from master_service.rack.times import Moment

CLAIM_S = 10.0
"""Seconds all outlets together hold up the start; who is slower is read later on."""


class OutletPoller:
    """Reads the outlets in turn, and notes what moved without a command.

    Args:
        outlets: The driver, for what it says by itself.
        switcher: Reads, but not while it switches.
        kept: Called with an outlet about which something is new.
        awaited: Returns whether a command waits to see the outlet move.
    """

    def __init__(
        self,
        rack: Rack,
        outlets: Outlets,
        switcher: Switcher,
        *,
        moment: Callable[[], Moment],
        kept: Callable[[OutletState], None],
        awaited: Callable[[str], bool],
    ) -> None:
        self._rack = rack
        self._outlets = outlets
        self._switcher = switcher
        self._moment = moment
        self._kept = kept
        self._awaited = awaited
        self._round = deque(rack.panel.outlets)
        self._next = 0.0
        self._told: set[str] = set()
        self._visiting: set[str] = set()

    def due(self, now: float, soon: Iterable[str] = ()) -> list[str]:
        """Returns the outlets to visit now; each must then be visited.

        Args:
            soon: Outlets that must not wait for their turn.
        """
        self._told.update(soon)
        if isinstance(self._outlets, Telling):
            self._told |= self._outlets.news() & self._rack.panel.outlets.keys()
        names = sorted(self._told - self._visiting)
        self._told.difference_update(names)
        turn = self._turn(now)
        if turn and turn not in self._visiting and turn not in names:
            names.append(turn)
        self._visiting.update(names)
        return names

    async def visit(self, name: str) -> None:
        """Reads one outlet, and takes what it says."""
        try:
            seen = await self._switcher.look(name)
        finally:
            self._visiting.discard(name)
        outlet = self._rack.panel.outlets[name]
        before = (outlet.level, outlet.fault)
        self._take(outlet, seen)
        if before != (outlet.level, outlet.fault):
            self._kept(outlet)

    def _turn(self, now: float) -> str:
        """Returns the outlet whose turn it is; empty if it is none's yet."""
        look_s = self._rack.settings.power.look_s
        if not self._round or not look_s or now < self._next:
            return ""
        self._next = now + look_s / len(self._round)
        self._round.rotate(-1)
        return self._round[-1]

    def _take(self, outlet: OutletState, seen: SwitchResult) -> None:
        at, name = self._moment(), outlet.row.name
        if seen.level is None:
            if outlet.read:
                self._note(EventKind.FAULT, outlet, about(name, seen.error))
            outlet.lost_sight(seen.error)
        elif not outlet.read:
            self._note(EventKind.FAULT, outlet, f"outlet {name} answers again")
            first_reading(self._rack, outlet, seen.level, at)
            self._rack.verdicts.outlet_moved(outlet, at.now)
        elif seen.level is not outlet.level and seen.level is not Power.UNKNOWN:
            self._moved(outlet, seen.level, at)

    def _moved(self, outlet: OutletState, level: Power, at: Moment) -> None:
        """Takes that it has another level without a command."""
        fault = outlet.fault
        outlet.read_back(level, at)
        if level is not outlet.wanted and not outlet.owed:
            outlet.set_fault(fault)
        self._rack.verdicts.outlet_moved(outlet, at.now)
        if outlet.owed or self._awaited(outlet.row.name):
            return
        text = f"outlet {outlet.row.name} was switched {level} by hand or by itself"
        tail = (
            ", as wanted" if level is outlet.wanted else f"; {outlet.wanted} is wanted"
        )
        self._note(EventKind.POWER, outlet, text + tail)

    def _note(self, kind: EventKind, outlet: OutletState, text: str) -> None:
        self._rack.outbox.note(kind, text, stack=outlet.row.stack)


async def claim_all(outlets: Outlets, rack: Rack, at: Moment, *, cold: bool) -> None:
    """Claims each outlet at its recorded level, and read it; all at the same time.

    After a mains cut the recorded level is history: an outlet is then only read, and
    claimed if it is at that level already. Claiming would bring all that were on back
    at the same moment.

    Args:
        cold: Whether this machine booted since the master ran last.
    """
    _name_those_gone(rack)
    all_outlets = list(rack.panel.outlets.values())
    found = await asyncio.gather(
        *(_claimed(outlets, outlet, cold=cold) for outlet in all_outlets)
    )
    for outlet, level in zip(all_outlets, found, strict=True):
        if isinstance(level, PowerError):
            outlet.lost_sight(str(level))
            text = about(outlet.row.name, str(level))
            rack.outbox.note(EventKind.FAULT, text, stack=outlet.row.stack)
        else:
            first_reading(rack, outlet, level, at, cold=cold)


def first_reading(
    rack: Rack, outlet: OutletState, level: Power, at: Moment, *, cold: bool = False
) -> None:
    """Takes the first reading of an outlet.

    Args:
        cold: After a mains cut, where any level is as good as another.
    """
    wanted = outlet.wanted
    if outlet.read_back(level, at) and level is Power.ON:
        rack.verdicts.power_came(outlet)
    if not cold and not outlet.owed and wanted not in {level, Power.UNKNOWN}:
        found = f"outlet {outlet.row.name} is {level}; {wanted} was wanted"
        text = f"{found}; left as it is"
        rack.outbox.note(EventKind.POWER, text, stack=outlet.row.stack)


def _name_those_gone(rack: Rack) -> None:
    """Notes which outlets were left on by taking them out of the configuration."""
    for record in rack.panel.gone:
        if record.level is Power.ON:
            gone = f"outlet {record.name} is not in the configuration any more"
            text = f"{gone}; it was on when last read, and is left as it is"
            rack.outbox.note(EventKind.FAULT, text)


async def _claimed(
    outlets: Outlets, outlet: OutletState, *, cold: bool
) -> Power | PowerError:
    try:
        return await within(
            CLAIM_S, outlet.row.name, _claim(outlets, outlet, cold=cold)
        )
    except PowerError as error:
        return error


async def _claim(outlets: Outlets, outlet: OutletState, *, cold: bool) -> Power:
    name = outlet.row.name
    if not cold:
        # A level that was merely read does not justify driving a line.
        await outlets.claim(name, outlet.seen if outlet.switched else Power.UNKNOWN)
        return await outlets.read(name)
    level = await outlets.read(name)
    if level is outlet.seen and outlet.switched:
        await outlets.claim(name, level)
    return level
