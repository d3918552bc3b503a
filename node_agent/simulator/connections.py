"""How the simulation signs in at the broker: each board as itself."""

from collections.abc import Callable, Mapping

import msgspec

from broker.client.endpoint import Endpoint
from broker.client.link import BreakableConnect, Connect
from broker.client.mqtt_link import connector
from broker.mosquitto import credentials
from node_agent.simulator.layout import SIMULATOR


def board_connections(
    broker: Endpoint, passwords: Mapping[str, str]
) -> Callable[[str], BreakableConnect]:
    """Return how the node of an id connects.

    Args:
        broker: Where it is.
        passwords: By node id; empty for anonymous connections.
    """
    if not passwords:
        shared = connector(_signed_in(broker, "", ""))
        return lambda _: shared

    def connect_as(node: str) -> BreakableConnect:
        secret = passwords[node]
        signed_in = _signed_in(broker, node, secret)
        bound = credentials.derive_client_id(node, secret)
        return connector(msgspec.structs.replace(signed_in, client_id=bound))

    return connect_as


def own_connection(broker: Endpoint, passwords: Mapping[str, str]) -> Connect:
    """Return how the simulator itself connects.

    Args:
        broker: Where it is, and whom to sign in as if the simulator has no password.
        passwords: By node id, and perhaps ``simulator``.
    """
    password = passwords.get(SIMULATOR)
    if password is None:
        return connector(broker)
    return connector(_signed_in(broker, SIMULATOR, password))


def _signed_in(broker: Endpoint, username: str, password: str) -> Endpoint:
    return msgspec.structs.replace(
        broker, username=username, password=password, client_id=""
    )
