"""What this machine is in the rack: its node id and a name people recognise."""

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node_agent import identity

_NOT_A_NAME = re.compile(r"[^a-z0-9-]+")
MAX_NAME = 32


def node_id(tables: Mapping[str, Any], root: Path = Path("/")) -> str:
    """Return this machine's node id: ``[agent] id``, else from the board.

    Raises:
        ConfigError: The machine has nothing to make an id of.
    """
    chosen = tables.get("agent", {}).get("id", "")
    macs = tuple(one.mac for one in identity.interfaces(root))
    return chosen or identity.node_id(identity.serial(root), macs)


def node_name(node: str, hostname: str | None = None) -> str:
    """Return the host's name as the contract allows it, else the id."""
    host = platform.node() if hostname is None else hostname
    short = host.partition(".")[0].lower()
    return _NOT_A_NAME.sub("-", short).strip("-")[:MAX_NAME].strip("-") or node
