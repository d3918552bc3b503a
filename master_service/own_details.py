"""What the master says about itself and its machine."""

import contextlib
import socket

from broker import VERSION
from broker.contract.messages import MasterDetails
from master_service.rack.settings import MasterSettings


def own_details(
    settings: MasterSettings, *, session: str, started: float
) -> MasterDetails:
    """Return what is published about the master.

    Args:
        settings: ``[master]``.
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
    """Return the address other machines reach us by, as far as routing tells.

    Connecting a UDP socket sends nothing; 192.0.2.1 is kept for documentation.
    """
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("192.0.2.1", 9))
        return (str(probe.getsockname()[0]),)
    return ()
