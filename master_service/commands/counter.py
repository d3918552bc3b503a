"""Verbs that are answered at once: history, locks, install; pure.

What an install run then does is told on topics of its own.
"""

from broker.contract.verbs import Verb
from master_service.commands import history, reserve
from master_service.commands.effects import Asked, Effects, ReadEvents
from master_service.commands.install import InstallDoor
from master_service.commands.reserve import Reservations
from master_service.power.switchboard import Switchboard
from master_service.presence.rack import Rack
from master_service.rack.node import Node
from master_service.rack.outlet_state import Fed
from master_service.rack.times import Moment


class Counter:
    """Answers them.

    Args:
        rack: The rack.
        power: Knows what is under way with the outlets.
    """

    def __init__(self, rack: Rack, power: Switchboard) -> None:
        self._rack = rack
        self._install = InstallDoor(rack, power)
        self._reservations = Reservations(rack)

    def serves(self, verb: str) -> bool:
        """Whether a verb is one of ours."""
        return verb in {Verb.EVENTS, Verb.INSTALL} or verb in reserve.VERBS

    def begin(self, asked: Asked) -> Effects:
        """Carry it out and answer it.

        Raises:
            RefusedError: It cannot be done; the text says what would be right.
            TopicError: The scope means nobody.
        """
        if asked.verb == Verb.EVENTS:
            return [ReadEvents(asked, history.query(self._rack, asked))]
        if asked.verb == Verb.INSTALL:
            return self._install.begin(asked)
        return self._reservations.begin(asked)

    def require_free(self, asked: Asked, outlets: list[Fed], hit: list[Node]) -> None:
        """Refuse to switch what somebody else has reserved, wherever it is shared.

        Raises:
            RefusedError: A board or a stack is locked by another.
        """
        stacks = [fed.row.stack for fed in outlets if fed.row.stack is not None]
        reserve.require(self._rack, asked, hit, stacks)

    def tick(self, at: Moment) -> Effects:
        """End the locks whose time is over."""
        return self._reservations.tick(at)
