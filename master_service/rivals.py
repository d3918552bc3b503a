"""Another master on the same rack: told, for nothing else shows it; pure.

Both use the one client id of a master, so the broker throws them off in turn and each
takes that for a bad connection. What they say about themselves gives them away.
"""

import logging
from collections import deque

from broker.contract.messages import EventKind, MasterDetails
from master_service.rack.events import Outbox

log = logging.getLogger(__name__)

OWN_SESSIONS = 8
"""What is stored was said by one of our last connections, if by us."""
WAY_OUT = "stop one: sudo systemctl stop pirack-master, or end its `pirack up`"
PROOF = 2
"""A broker that was killed may bring back, once, what a master before us said."""


class Rivals:
    """Listens to what masters say about themselves.

    Args:
        outbox: Where news go.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ours: deque[str] = deque(maxlen=OWN_SESSIONS)
        self._heard = False
        self._others: set[str] = set()

    def connected(self, session: str) -> None:
        """Take the session of a connection of our own."""
        self._ours.append(session)

    def take(self, details: MasterDetails) -> None:
        """Take what a master said; until we were heard, it is who was here before."""
        if details.session in self._ours:
            self._heard = True
        elif self._heard and len(self._others) < PROOF:
            self._others.add(details.session)
            if len(self._others) == PROOF:
                self._tell(details)

    def _tell(self, details: MasterDetails) -> None:
        where = ", ".join((details.hostname, *details.addresses))
        text = f"another master keeps this rack too, on {where}; {WAY_OUT}"
        log.error("%s. Until then the broker throws each off in turn", text)
        self._outbox.note(EventKind.FAULT, text)
