"""Passwords, made once and kept: files of mode 0600 in a directory of mode 0700."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from broker import credentials
from broker.atomic import replace
from broker.credentials import Credentials, generate_password
from broker.errors import ConfigError
from dashboard.users import Role, Users, make_user
from dashboard.users import generate_password as readable_password
from pirack.runfile import Login

ADMIN = "admin"

T = TypeVar("T")


def mqtt_password(path: Path, username: str) -> str:
    """Return a user's password from its credentials file, which is made if missing.

    Args:
        path: JSON file with ``username`` and ``password``, as ``[broker] credentials``
            names it.
        username: Whose.

    Raises:
        ConfigError: The file is there but is no credentials file.
        OSError: It cannot be written.
    """
    if path.exists():
        return credentials.read(path).password
    made = Credentials(username=username, password=generate_password())
    credentials.write(path, made)
    return made.password


def node_passwords(path: Path, nodes: Iterable[str]) -> dict[str, str]:
    """Return a password for each node; those the file lacks are added to it.

    Args:
        path: JSON file ``{id: password}``.
        nodes: Ids.

    Raises:
        ConfigError: The file is there but is something else.
        OSError: It cannot be written.
    """
    wanted = list(nodes)
    kept = _read(path, dict[str, str]) if path.exists() else {}
    missing = [node for node in wanted if node not in kept]
    kept |= {node: generate_password() for node in missing}
    if missing:
        _write(path, kept)
    return {node: kept[node] for node in wanted}


def page_login(path: Path, users_file: Path) -> Login:
    """Return the administrator of the page, who is made if missing.

    Args:
        path: Where the password is kept, so that every start can tell it.
        users_file: The page's users, with hashes only.

    Raises:
        ConfigError: One of the files is something else.
        OSError: One of them cannot be written.
    """
    users = Users(users_file)
    if path.exists():
        login = _read(path, Login)
        if users.get(login.username) is not None:
            return login
    login = Login(username=ADMIN, password=readable_password())
    users.put(make_user(login.username, Role.ADMIN, login.password))
    _write(path, login)
    return login


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        text = f"{path}: cannot be read: {error}; delete it and a new one is made"
        raise ConfigError(text) from error


def _write(path: Path, content: object) -> None:
    text = msgspec.json.format(msgspec.json.encode(content), indent=2)
    replace(path, text + b"\n", mode=0o600)
