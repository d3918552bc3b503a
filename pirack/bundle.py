"""What a Pi needs to join: its id, configuration, password, whom to trust, units."""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from broker.common.atomic import replace
from broker.common.errors import TopicError
from broker.contract.topics import check_name
from broker.mosquitto import credentials
from broker.mosquitto.credentials import Credentials
from node_agent import identity
from pirack import distribution, toml_writer
from pirack.rack_config import RackAccess
from provisioning.deploy.wheels import WheelStore

AT = Path("/etc/pirack")
INSTALL = "install"
FOR_NODES = (
    "node.lock",
    "pirack-agent.service",
    "pirack-update.service",
    "pirack-update-lists.service",
    "polkit",
    "sudo",
    "sudoers.d",
    "sysusers.d",
    "tmpfiles.d",
    "udev",
)
"""Of all that is deployed; the rest is for the master's Pi."""
_HEAD = "# Written by `pirack node add`. [agent] may be extended: docs/agent.md.\n\n"
_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}")
_SERIAL = re.compile(r"(0x)?([0-9a-f]{8}|[0-9a-f]{16})")
_DERIVED = re.compile(r"pi-[0-9a-f]{8}")


class BoardId(msgspec.Struct, frozen=True):
    """A node's id.

    Args:
        node: The id.
        told: The board must be told it: it would not find it by itself, for its id
            comes from its serial first.
    """

    node: str
    told: bool


def read_board_id(text: str) -> BoardId:
    """Reads what a person knows of a board.

    Args:
        text: ``pi-1f3a9c2e`` or an id of one's own; the serial of
            ``/proc/device-tree/serial-number``; a MAC address.

    Raises:
        TopicError: It is none of these.
    """
    word = text.strip().lower()
    if _MAC.fullmatch(word):
        return BoardId(identity.node_id("", (word.replace("-", ":"),)), told=True)
    serial = _SERIAL.fullmatch(word)
    if serial:
        return BoardId(identity.node_id(serial[2], ()), told=False)
    try:
        return BoardId(check_name(word, "id"), told=_DERIVED.fullmatch(word) is None)
    except TopicError as error:
        hint = (
            f"{text[:64]!r} is not a board: give its id (pi-1f3a9c2e), serial (`cat "
            "/proc/device-tree/serial-number`) or MAC address"
        )
        raise TopicError(hint) from error


def write(
    access: RackAccess,
    board: BoardId,
    secret: Credentials,
    *,
    into: Path,
    at: Path = AT,
    wheel: Path | None = None,
    kinds: Collection[str] | None = None,
) -> Path:
    """Puts a bundle together; returns its directory, which only its owner may read.

    Args:
        access: The rack.
        board: Who it is for.
        secret: Its name and password.
        into: Directory the bundle is made in.
        at: Where its files will be on the Pi.
        wheel: Our own package, for a Pi that cannot get it elsewhere.
        kinds: Of the boards that boards made wheels for, those whose wheels go with it;
            None for all, where it is not known yet what board it will be.

    Raises:
        ConfigError: This installation lacks the units.
        OSError: It cannot be written.
    """
    directory = into / board.node
    shutil.rmtree(directory, ignore_errors=True)  # an older one of the same node
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)
    text = _HEAD + toml_writer.dumps(tables(access, board, at))
    replace(directory / "pirack.toml", text.encode(), mode=0o644)
    credentials.write(directory / "credentials.json", secret)
    shutil.copyfile(access.files.authority, directory / "ca.crt")
    units = distribution.deploy_directory()
    (directory / "deploy").mkdir()
    for name in FOR_NODES:
        here, there = units / name, directory / "deploy" / name
        (shutil.copytree if here.is_dir() else shutil.copyfile)(here, there)
    shutil.copy(units / INSTALL, directory / INSTALL)
    if wheel is not None:
        shutil.copy(wheel, directory)
    store = WheelStore(access.board_wheels, units)
    for kind in store.kinds() if kinds is None else kinds:
        for name, content in store.files(kind).items():
            file = directory / "wheels" / kind / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return directory


def tables(access: RackAccess, board: BoardId, at: Path) -> dict[str, Any]:
    """Returns the node's configuration."""
    agent = {"agent": {"id": board.node}} if board.told else {}
    return {
        "rack": {"name": access.topics.rack},
        "broker": {
            "host": access.host,
            "port": access.port,
            "credentials": str(at / "credentials.json"),
            "ca_file": str(at / "ca.crt"),
        },
        **agent,
    }
