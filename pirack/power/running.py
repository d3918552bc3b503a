"""Whether a master is running, as its broker says."""

from broker.client.link import Connect
from broker.common.errors import LinkError
from broker.contract.messages import Status
from broker.contract.topics import Topics
from pirack.rack_client import RackClient

CONNECT_S = 3.0
LISTEN_S = 0.5
"""How long a retained status may take to come."""


async def master_runs(
    connect: Connect, topics: Topics, *, connect_s: float = CONNECT_S
) -> bool | None:
    """Returns whether a master is online; None: there is no broker to ask.

    Args:
        connect: As somebody who may read its status.
        topics: Of the rack.
        connect_s: How long the broker may take, seconds.
    """
    client = RackClient(connect, topics, name="power", connect_s=connect_s)
    try:
        async with client:
            await client.wait_for(lambda: bool(client.picture.master), LISTEN_S)
            return client.picture.master == Status.ONLINE
    except LinkError:
        return None
