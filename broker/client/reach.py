"""One attempt to connect, for a person who waits: a link would try for ever."""

import secrets

from broker.client.endpoint import Endpoint
from broker.client.reconnect import VersionChoice
from broker.client.wire.client import Identity
from broker.client.wire.connection import Connection
from broker.common.errors import RefusedError, SilentError


async def reach(endpoint: Endpoint, client_id: str = "") -> None:
    """Connect once and leave; return if there is a broker that takes us.

    Args:
        endpoint: Where, and as whom.
        client_id: Name of a node or service; empty for a tool of a person.

    Raises:
        ConfigError: The certificate authority cannot be read.
        LinkError: There is no broker, or it refuses us; says which.
    """
    name = client_id or f"pirack-{secrets.token_hex(6)}"
    who = Identity(endpoint.client_ids(name)[0], "", None, name=name)
    connection = Connection(
        endpoint, who, VersionChoice().current, endpoint.tls(), lambda _message: None
    )
    try:
        await connection.open()
    except RefusedError as error:
        if not error.version:
            raise
    except SilentError:
        return  # it is there; perhaps it speaks 3.1.1 only, which a link finds out
    finally:
        connection.abort()
