"""How each simulated node signs in at the broker: as itself."""

from collections.abc import Callable

import msgspec

from broker.client import connector
from broker.endpoint import Endpoint
from broker.link import BreakableConnect


def connections(
    endpoint: Endpoint, passwords: dict[str, str]
) -> Callable[[str], BreakableConnect]:
    """Return how the node of an id connects.

    Args:
        endpoint: Where the broker is.
        passwords: By node id; empty for anonymous connections.
    """
    if not passwords:
        shared = connector(msgspec.structs.replace(endpoint, username="", password=""))
        return lambda _: shared

    def connect_as(node_id: str) -> BreakableConnect:
        own = msgspec.structs.replace(
            endpoint, username=node_id, password=passwords[node_id]
        )
        return connector(own)

    return connect_as
