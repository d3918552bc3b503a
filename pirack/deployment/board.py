"""Which id a board will have, by the rule its own agent goes by."""

import tempfile
from pathlib import Path

from node_agent import identity
from pirack.bundle import BoardId
from provisioning.deploy.remote import Snapshot


def board_of(snapshot: Snapshot) -> BoardId:
    """Return a board's id: what it said of itself is laid out as its own files are.

    Args:
        snapshot: What it said.

    Raises:
        ConfigError: It has neither a serial nor a network interface.
    """
    with tempfile.TemporaryDirectory(prefix="pirack-") as directory:
        root = Path(directory)
        for name, text in snapshot.files.items():
            path = root / Path(name).relative_to("/")
            if ".." in path.parts:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        serial = identity.serial(root)
        macs = tuple(one.mac for one in identity.interfaces(root))
    node = identity.node_id(serial, macs)
    # An id from a serial it finds by itself; interfaces come and go.
    return BoardId(node, told=node != identity.node_id(serial, ()) if serial else True)
