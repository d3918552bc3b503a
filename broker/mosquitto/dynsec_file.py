"""Who may connect, changed in the plugin's file while the broker is down.

Never while it runs: it would write its own view over ours.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from broker.common.atomic import put_aside, replace
from broker.common.errors import ConfigError, DamagedFileError
from broker.contract.topics import Topics
from broker.mosquitto import dynsec
from broker.mosquitto.dynsec import Role, User, acls, client, rights, role_name

Document = dict[str, Any]


def admit(path: Path, user: User, topics: Topics) -> None:
    """Let a user connect, with this password, from the broker's next start on.

    Raises:
        ConfigError: The file cannot be read or is something else.
        OSError: It cannot be written.
    """
    _write(path, with_user(_read(path), user, topics))


def dismiss(path: Path, node: str) -> bool:
    """Take a node's right to connect; return whether it had one.

    Raises:
        ConfigError: The file cannot be read or is something else.
        OSError: It cannot be written.
    """
    before = _read(path)
    after = without(before, User(name=node, password="", role=Role.NODE))
    if after == before:
        return False
    _write(path, after)
    return True


def with_user(document: Document, user: User, topics: Topics) -> Document:
    """Return the file's content with a user and its role in it."""
    rest = without(document, user)
    role = {"rolename": role_name(user), "acls": acls(rights(user, topics))}
    return {
        **rest,
        "clients": [*rest["clients"], client(user)],
        "roles": [*rest["roles"], role],
    }


def without(document: Document, user: User) -> Document:
    """Return the file's content without a user and the role that bears its name."""
    role = role_name(user)
    return {
        **document,
        "clients": [one for one in document["clients"] if one["username"] != user.name],
        "roles": [one for one in document["roles"] if one["rolename"] != role],
    }


def merge(directory: Path, users: Sequence[User], topics: Topics) -> Path:
    """Write users and roles of ours into the plugin's file, and return its path.

    What people added by ``mosquitto_ctrl`` stays: clients, roles, groups, and rights in
    our roles. Clients that we made and that are not among ``users`` are removed. A file
    that is missing is made; a damaged one is put aside first.

    Args:
        directory: The broker's data directory; the broker is down.
        users: All of ours.
        topics: Of the rack.

    Raises:
        ConfigError: The file cannot be read or is something else.
        OSError: It cannot be written.
    """
    path = directory / dynsec.FILE_NAME
    if not path.exists():
        return dynsec.write(directory, users, topics)
    try:
        before = _read(path)
    except DamagedFileError as error:
        put_aside(path, error, "users that were added by hand must be added again")
        return dynsec.write(directory, users, topics)
    after = merged(before, users, topics)
    if after != before:
        _write(path, after)
    return path


def merged(document: Document, users: Sequence[User], topics: Topics) -> Document:
    """Return the file's content with these users and their roles; see ``merge``."""
    clients = {one["username"]: one for one in document["clients"]}
    roles = {one["rolename"]: one for one in document["roles"]}
    for user in users:
        clients[user.name] = _renewed_client(user, clients.get(user.name))
        name = role_name(user)
        roles[name] = _renewed_role(name, roles.get(name, {}), topics)
    own = {user.name for user in users}
    gone = {name for name, row in clients.items() if _is_ours(row)} - own
    stale = {name for name in roles if dynsec.is_node_role(name)}
    stale -= {role_name(user) for user in users}
    return {
        **document,
        "clients": [row for name, row in clients.items() if name not in gone],
        "roles": [row for name, row in roles.items() if name not in stale],
    }


def _is_ours(row: Document) -> bool:
    return str(row.get("textname", "")).startswith(dynsec.TEXT_NAME)


def _renewed_client(user: User, row: Document | None) -> Document:
    """Return a client as the file should have it; its password only when it changed."""
    if row is None:
        return client(user)
    own = dynsec.identity(user)
    given = [one for one in row.get("roles", []) if one not in own["roles"]]
    changed = {} if dynsec.has_password(row, user.password) else client(user)
    rest = {key: value for key, value in row.items() if key != "clientid"}
    return {**rest, **changed, **own, "roles": [*own["roles"], *given]}


def _renewed_role(name: str, row: Document, topics: Topics) -> Document:
    granted = dynsec.renewed(name, row.get("acls", []), topics)
    return {**row, "rolename": name, "acls": granted}


def _read(path: Path) -> Document:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Document)
    except OSError as error:
        text = f"{path}: cannot be read as the plugin's file: {error}"
        raise ConfigError(text) from error
    except msgspec.MsgspecError as error:
        text = f"{path}: is not the plugin's file: {error}"
        raise DamagedFileError(text) from error
    if {"clients", "roles"} <= found.keys():
        return found
    text = f"{path}: has no clients and roles; it must be the plugin's file"
    raise DamagedFileError(text)


def _write(path: Path, document: Document) -> None:
    """Put the file in place; it stays the broker's, who must read and write it."""
    owner = path.stat()
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    replace(path, text + b"\n", mode=0o600)
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid)
