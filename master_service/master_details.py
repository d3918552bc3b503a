"""What the master says about itself, and what another master says on the same topic."""

import contextlib
import logging
import socket
from collections import deque

from broker import VERSION
from broker.contract.messages import EventKind, MasterDetails
from master_service.rack.events import Outbox
from master_service.rack.settings import MasterSettings

log = logging.getLogger(__name__)

OWN_SESSIONS = 8
"""What the broker kept was said in one of our last connections, if by us."""
WAY_OUT = "stop one: sudo systemctl stop pirack-master, or end its `pirack up`"
PROOF = 2
"""A broker that was killed may bring back, once, what a master before us said."""


def own_details(
    settings: MasterSettings, *, session: str, started: float
) -> MasterDetails:
    """Returns what is published about the master.

    Args:
        session: Of its connection.
        started: Unix time it was started, seconds.
    """
    return MasterDetails(
        session=session,
        hostname=socket.gethostname(),
        version=VERSION,
        started=started,
        node=settings.node,
        addresses=own_addresses(),
        interval_s=settings.interval_s,
    )


def own_addresses() -> tuple[str, ...]:
    """Returns the address other machines reach us by, as far as routing tells.

    Connecting a UDP socket sends nothing; 192.0.2.1 is kept for documentation.
    """
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("192.0.2.1", 9))
        return (str(probe.getsockname()[0]),)
    return ()


class OtherMasters:
    """Detects another master on the same rack.

    Both use the one client id of a master, so the broker ends their connections in
    turn, and each takes that for a bad connection. What they publish about themselves
    is the only sign.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ours: deque[str] = deque(maxlen=OWN_SESSIONS)
        self._heard = False
        self._others: set[str] = set()

    def connected(self, session: str) -> None:
        """Notes the session of a connection of our own."""
        self._ours.append(session)

    def heard(self, details: MasterDetails) -> None:
        """Takes what a master said; before our own that is an earlier one."""
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
