"""Who may connect, changed in the plugin's file while the broker is down.

Never while it runs: it would write its own view over ours.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from broker.atomic import replace
from broker.dynsec import Role, User, acls, client, rights, role_name
from broker.errors import ConfigError
from broker.topics import Topics

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


def _read(path: Path) -> Document:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Document)
    except (OSError, msgspec.MsgspecError) as error:
        text = f"{path}: cannot be read as the plugin's file: {error}"
        raise ConfigError(text) from error
    if {"clients", "roles"} <= found.keys():
        return found
    text = f"{path}: has no clients and roles; it must be the plugin's file"
    raise ConfigError(text)


def _write(path: Path, document: Document) -> None:
    """Put the file in place; it stays the broker's, who must read and write it."""
    owner = path.stat()
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    replace(path, text + b"\n", mode=0o600)
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid)
