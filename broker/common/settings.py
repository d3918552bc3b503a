"""The tables of ``pirack.toml`` every service reads: ``[rack]`` and ``[broker]``."""

from typing import Annotated

import msgspec

MAX_STACKS = 999
"""So many surely fit the one message in which the whole rack is told."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class RackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[rack]``: what the rack is called and its regular shape.

    Args:
        name: Rack name, part of every topic.
        stacks: How many stacks; 0 when every stack has its own ``[[stack]]``.
        boards: Boards in a stack.
        columns: Stacks beside each other in the picture.
    """

    name: str = "lab"
    stacks: Annotated[int, msgspec.Meta(ge=0, le=MAX_STACKS)] = 0
    boards: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    columns: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[broker]``: where the broker is and how to sign in.

    Args:
        host: Name or address.
        port: TCP port.
        credentials: Path of a JSON file (mode 0600) with ``username`` and ``password``;
            empty for an anonymous connection. A password never stands in this file's
            place: configuration gets shared, secrets must not.
        ca_file: Certificate authority that signed the broker's certificate; setting it
            turns TLS on.
        keepalive_s: Seconds of silence after which the broker asks whether we live;
            its will fires after one and a half of it.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    credentials: str = ""
    ca_file: str = ""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 15
