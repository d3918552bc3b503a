"""Passwords, made once and kept: files of mode 0600 in a directory of mode 0700."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from broker.common.atomic import put_aside, replace
from broker.common.errors import ConfigError, DamagedFileError
from broker.mosquitto import credentials
from broker.mosquitto.credentials import (
    Credentials,
    generate_client_id,
    generate_password,
)
from broker.mosquitto.dynsec import PEOPLE, BrokerRole, BrokerUser
from dashboard.server.users import PageRole, Users, make_user
from dashboard.server.users import generate_password as readable_password
from pirack import rack_config
from pirack.runfile import Login

PAGE_ADMIN = "admin"
ROLES = {
    "master": BrokerRole.MASTER,
    "dashboard": BrokerRole.DASHBOARD,
    "dashboard-operator": BrokerRole.DASHBOARD_OPERATOR,
    "dashboard-admin": BrokerRole.DASHBOARD_ADMIN,
    rack_config.OPERATOR: BrokerRole.OPERATOR,
    "viewer": BrokerRole.VIEWER,
    rack_config.ADMIN: BrokerRole.ADMIN,
    rack_config.BROKER_ADMIN: BrokerRole.BROKER_ADMIN,
}
"""The services and people of every rack, by the names of their users."""

T = TypeVar("T")


def mqtt_user(path: Path, username: str, role: BrokerRole) -> BrokerUser:
    """Returns a user of the broker from its credentials file, made if missing.

    A node or service whose file has no client id gets one; earlier releases made none.

    Args:
        path: JSON file, as ``[broker] credentials`` names it.

    Raises:
        ConfigError: The file is not a credentials file.
        OSError: It cannot be written.
    """
    found = None
    try:
        found = credentials.read(path) if path.exists() else None
    except DamagedFileError as error:
        put_aside(path, error, f"{username} gets a new password")
    if found is None:
        found = Credentials(username=username, password=generate_password())
    if role not in PEOPLE and not found.client_id:
        bound = generate_client_id(username)
        found = msgspec.structs.replace(found, client_id=bound)
        write_credentials(path, found)
    elif not path.exists():
        credentials.write(path, found)
    return BrokerUser(
        name=username, password=found.password, role=role, client_id=found.client_id
    )


def write_credentials(path: Path, found: Credentials) -> None:
    """Writes a credentials file that keeps its owner, a service that must read it.

    Raises:
        OSError: It cannot be written.
    """
    owner = path.stat() if path.exists() else None
    credentials.write(path, found)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def node_passwords(path: Path, nodes: Iterable[str]) -> dict[str, str]:
    """Returns a password for each node; those the file lacks are added to it.

    Args:
        path: JSON file ``{id: password}``.

    Raises:
        ConfigError: The file is there but is something else.
        OSError: It cannot be written.
    """
    wanted = list(nodes)
    kept = _read(path, dict[str, str]) or {}
    missing = [node for node in wanted if node not in kept]
    kept |= {node: generate_password() for node in missing}
    if missing:
        _write(path, kept)
    return {node: kept[node] for node in wanted}


def page_login(path: Path, users_file: Path) -> Login:
    """Returns the administrator of the page, who is made if missing.

    Args:
        path: Where the password is kept, so that every start can tell it.
        users_file: The page's users, with hashes only.

    Raises:
        ConfigError: One of the files is something else.
        OSError: One of them cannot be written.
    """
    users = Users(users_file)
    mended, login = users.mend(), _read(path, Login)
    if login is not None and users.get(login.username) is not None:
        return login
    if login is None or not mended:
        login = Login(username=PAGE_ADMIN, password=readable_password())
    users.put(make_user(login.username, PageRole.ADMIN, login.password))
    _write(path, login)
    return login


def _read(path: Path, kind: type[T]) -> T | None:
    """Returns what is in a file; None where there is none, or one that is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        put_aside(path, error, "new passwords are made")
        return None
    except OSError as error:
        text = f"{path}: cannot be read: {error}; delete it and a new one is made"
        raise ConfigError(text) from error


def _write(path: Path, content: object) -> None:
    text = msgspec.json.format(msgspec.json.encode(content), indent=2)
    replace(path, text + b"\n", mode=0o600)
