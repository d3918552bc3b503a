"""What this machine is in the rack: its node id and a name people recognise."""

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.common import config
from broker.common.errors import ConfigError
from node_agent import identity

_NOT_A_NAME = re.compile(r"[^a-z0-9-]+")
MAX_NAME = 32


def node_id(
    tables: Mapping[str, Any],
    root: Path = Path("/"),
    *,
    kept: Path | None = None,
    before: str = "",
) -> str:
    """Returns this machine's node id: ``[agent] id``, else kept, else from the board.

    Args:
        tables: The person's configuration.
        root: Where the file systems are.
        kept: Where the id is kept, so that it stays when a network card or a container
            is replaced; None: nowhere.
        before: The id at an earlier start that did not keep it yet; may be empty.

    Raises:
        ConfigError: The machine has nothing to make an id of, or it cannot be kept.
    """
    chosen: str = tables.get("agent", {}).get("id", "")
    if chosen:
        return chosen
    if kept is None:
        return identity.hardware_id(root) or identity.random_id()
    found = identity.read_kept(kept)
    return found or identity.make_kept(kept, before or identity.hardware_id(root))


def earlier_id(part: Path) -> str:
    """Returns the id in the agent's configuration of an earlier start, or ``""``."""
    try:
        found = config.load(part).tables.get("agent", {}).get("id", "")
    except ConfigError:
        return ""
    return found if isinstance(found, str) else ""


def node_name(node: str, hostname: str | None = None) -> str:
    """Returns the host's name as the contract allows it, else the id."""
    host = platform.node() if hostname is None else hostname
    short = host.partition(".")[0].lower()
    return _NOT_A_NAME.sub("-", short).strip("-")[:MAX_NAME].strip("-") or node
