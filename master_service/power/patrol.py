"""Looking at the outlets: somebody may have pressed a button, or a plug be away.

An outlet that says by itself that it moved is looked at once; every other in its turn.
Looking never switches.
"""

from collections import deque
from collections.abc import Callable, Iterable

from broker.contract.messages import EventKind, Power
from master_service.power.claiming import first_reading
from master_service.power.outlets import Outlets, Telling, about
from master_service.power.switching import Brought, Switcher
from master_service.presence.rack import Rack
from master_service.rack.outlet_state import Fed
from master_service.rack.times import Moment


class Patrol:
    """Goes round the outlets, and says what moved without a command.

    Args:
        rack: The rack.
        outlets: The driver, for what it says by itself.
        switcher: Reads, but not while it switches.
        moment: Both clocks.
        kept: Told the outlet about which something is new.
        awaited: Returns whether a command waits to see the outlet move.
    """

    def __init__(
        self,
        rack: Rack,
        outlets: Outlets,
        switcher: Switcher,
        *,
        moment: Callable[[], Moment],
        kept: Callable[[Fed], None],
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
        """Return the outlets to visit now; each must then be visited.

        Args:
            now: Monotonic seconds.
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
        """Read one outlet, and take what it says."""
        try:
            seen = await self._switcher.look(name)
        finally:
            self._visiting.discard(name)
        fed = self._rack.panel.outlets[name]
        before = (fed.level, fed.fault)
        self._take(fed, seen)
        if before != (fed.level, fed.fault):
            self._kept(fed)

    def _turn(self, now: float) -> str:
        """Return the outlet whose turn it is; empty if it is nobody's yet."""
        look_s = self._rack.settings.power.look_s
        if not self._round or not look_s or now < self._next:
            return ""
        self._next = now + look_s / len(self._round)
        self._round.rotate(-1)
        return self._round[-1]

    def _take(self, fed: Fed, seen: Brought) -> None:
        at, name = self._moment(), fed.row.name
        if seen.level is None:
            if fed.read:
                self._note(EventKind.FAULT, fed, about(name, seen.error))
            fed.lost_sight(seen.error)
        elif not fed.read:
            self._note(EventKind.FAULT, fed, f"outlet {name} answers again")
            first_reading(self._rack, fed, seen.level, at)
            self._rack.judging.outlet_moved(fed, at.now)
        elif seen.level is not fed.level and seen.level is not Power.UNKNOWN:
            self._moved(fed, seen.level, at)

    def _moved(self, fed: Fed, level: Power, at: Moment) -> None:
        """Take that it has another level, although nobody asked us for it."""
        fault = fed.fault
        fed.read_back(level, at)
        if level is not fed.wanted and not fed.owed:
            fed.set_fault(fault)
        self._rack.judging.outlet_moved(fed, at.now)
        if fed.owed or self._awaited(fed.row.name):
            return
        text = f"outlet {fed.row.name} was switched {level} by hand or by itself"
        tail = ", as wanted" if level is fed.wanted else f"; {fed.wanted} is wanted"
        self._note(EventKind.POWER, fed, text + tail)

    def _note(self, kind: EventKind, fed: Fed, text: str) -> None:
        self._rack.outbox.note(kind, text, stack=fed.row.stack)
