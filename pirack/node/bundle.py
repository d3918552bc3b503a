"""What a Pi needs to join: configuration, password, whom to trust, units."""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from broker.common.atomic import replace
from broker.mosquitto import credentials
from broker.mosquitto.credentials import Credentials
from pirack import deploy_files, toml_writer
from pirack.node.board_id import BoardId
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


def write(
    house: RackAccess,
    board: BoardId,
    secret: Credentials,
    *,
    into: Path,
    at: Path = AT,
    wheel: Path | None = None,
    kinds: Collection[str] | None = None,
) -> Path:
    """Put a bundle together and return its directory, for its owner only.

    Args:
        house: The rack.
        board: Who it is for.
        secret: Its name and password.
        into: Directory the bundle is made in.
        at: Where its files will be on the Pi.
        wheel: Our own package, for a Pi that cannot get it elsewhere.
        kinds: Of the boards that boards made wheels for, those whose wheels go with it;
            None for all, where nobody knows yet what board it will be.

    Raises:
        ConfigError: This installation lacks the units.
        OSError: It cannot be written.
    """
    directory = into / board.node
    shutil.rmtree(directory, ignore_errors=True)  # an older one of the same node
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700)
    text = _HEAD + toml_writer.dumps(tables(house, board, at))
    replace(directory / "pirack.toml", text.encode(), mode=0o644)
    credentials.write(directory / "credentials.json", secret)
    shutil.copyfile(house.files.authority, directory / "ca.crt")
    units = deploy_files.directory()
    (directory / "deploy").mkdir()
    for name in FOR_NODES:
        here, there = units / name, directory / "deploy" / name
        (shutil.copytree if here.is_dir() else shutil.copyfile)(here, there)
    shutil.copy(units / INSTALL, directory / INSTALL)
    if wheel is not None:
        shutil.copy(wheel, directory)
    store = WheelStore(house.board_wheels, units)
    for kind in store.kinds() if kinds is None else kinds:
        for name, content in store.files(kind).items():
            file = directory / "wheels" / kind / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return directory


def tables(house: RackAccess, board: BoardId, at: Path) -> dict[str, Any]:
    """Return the node's configuration."""
    agent = {"agent": {"id": board.node}} if board.told else {}
    return {
        "rack": {"name": house.topics.rack},
        "broker": {
            "host": house.host,
            "port": house.port,
            "credentials": str(at / "credentials.json"),
            "ca_file": str(at / "ca.crt"),
        },
        **agent,
    }


def built_wheel(version: str) -> Path | None:
    """Return what ``make wheel`` built of this version; None where nothing was."""
    found = Path(deploy_files.__file__).parent.parent / "dist"
    return next(found.glob(f"pirack-{version}-*.whl"), None)
