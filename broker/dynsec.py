"""Who may say what: the file of Mosquitto's dynamic-security plugin.

An ``acl_file`` would be shorter, but in Mosquitto 2.0 one that is broken or missing at
a reload lets everybody publish anywhere; this plugin refuses everyone instead.
"""

import base64
import enum
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from broker.atomic import replace
from broker.topics import HOME_ASSISTANT_STATUS, NodeLeaf, Topics

FILE_NAME = "dynamic-security.json"
_SALT_BYTES = 12  # what the plugin of 2.0 reads, no more and no less
_HASH_BYTES = 64
_ITERATIONS = 101
"""What ``mosquitto_ctrl`` uses. Our passwords have 192 random bits, so that more would
only let a rack that reconnects occupy the broker's one thread."""


class Role(enum.StrEnum):
    """What a user is; what it may say follows from it."""

    MASTER = "master"
    DASHBOARD = "dashboard"
    SIMULATOR = "simulator"
    NODE = "node"
    OPERATOR = "operator"
    VIEWER = "viewer"
    ADMIN = "admin"
    """May change who may connect, through ``broker.dynsec_control``; nothing else."""


_PEOPLE = (Role.OPERATOR, Role.VIEWER, Role.ADMIN)
"""Their tools choose client ids freely; every other user has its name as client id, or
it could take the place of another with its own password."""
CONTROL = "$CONTROL/dynamic-security"
"""Below it the plugin takes requests and answers them."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One who may connect; the ``repr`` hides the password.

    Args:
        name: User name; of a node its id, of a service also the client id.
        password: Secret.
        role: What it is.
    """

    name: str
    password: str
    role: Role

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"User({self.name}, {self.role})"


class Rights(msgspec.Struct, frozen=True):
    """What one role may do.

    Args:
        publish: Topics and filters it may publish to.
        subscribe: Filters it may subscribe to, and all that lies below them.
        exactly: Filters it may subscribe to as they stand.
        receive: Filters of what the plugin delivers to nobody unless it is said here:
            its own answers, below ``$CONTROL``.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    exactly: tuple[str, ...] = ()
    receive: tuple[str, ...] = ()


def rights(user: User, topics: Topics) -> Rights:
    """Return what a user may do in a rack."""
    everything = f"{topics.prefix}/#"
    commands = (*topics.command_filters(), f"{topics.prefix}/sim/cmd/+")
    match user.role:
        case Role.MASTER:
            return Rights(
                publish=(everything, "homeassistant/device/+/config"),
                subscribe=(everything,),
                exactly=(HOME_ASSISTANT_STATUS,),
            )
        case Role.NODE:
            return _node_rights(user.name, topics)
        case Role.SIMULATOR:
            return Rights(
                publish=(f"{topics.prefix}/sim/#", f"{topics.prefix}/inbox/+"),
                subscribe=(f"{topics.prefix}/sim/#",),
                exactly=(topics.stack("+"), topics.master_status),
            )
        case Role.DASHBOARD | Role.OPERATOR:
            return Rights(publish=commands, subscribe=(everything,))
        case Role.VIEWER:
            return Rights(subscribe=(everything,))
        case Role.ADMIN:
            own = (f"{CONTROL}/#",)
            return Rights(publish=own, subscribe=own, receive=own)


def _node_rights(node: str, topics: Topics) -> Rights:
    """A node says its own things, and clears an order that somebody had retained."""
    said = (
        NodeLeaf.STATUS,
        NodeLeaf.DETAILS,
        NodeLeaf.HEARTBEAT,
        NodeLeaf.RESULT,
        NodeLeaf.ORDER,
    )
    return Rights(
        publish=tuple(topics.node(node, leaf) for leaf in said),
        exactly=(
            topics.node(node, NodeLeaf.ORDER),
            topics.node(node, NodeLeaf.STATUS),
            topics.master_status,
            topics.master_details,
            HOME_ASSISTANT_STATUS,
        ),
    )


def document(users: Sequence[User], topics: Topics) -> dict[str, Any]:
    """Return the plugin's configuration: nothing is allowed but what roles allow.

    ``publishClientReceive`` stays open: who may not subscribe receives nothing, and a
    check less for every delivery is the point of a broker.

    Args:
        users: All of them.
        topics: Of the rack.
    """
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [client(user) for user in users],
        "groups": [],
        "roles": [
            {"rolename": name, "acls": acls(granted)}
            for name, granted in _roles(users, topics).items()
        ],
    }


def write(directory: Path, users: Sequence[User], topics: Topics) -> Path:
    """Write the plugin's file, mode 0600, and return its path.

    Args:
        directory: The broker's data directory.
        users: All of them; whoever is not among them cannot connect any more.
        topics: Of the rack.

    Raises:
        OSError: The directory cannot be written.
    """
    path = directory / FILE_NAME
    text = msgspec.json.format(msgspec.json.encode(document(users, topics)), indent=1)
    replace(path, text + b"\n", mode=0o600)
    return path


def hash_password(password: str, salt: bytes) -> str:
    """Return a password as Mosquitto keeps it: PBKDF2 with SHA-512, Base64."""
    digest = hashlib.pbkdf2_hmac(
        "sha512", password.encode(), salt, _ITERATIONS, _HASH_BYTES
    )
    return base64.b64encode(digest).decode()


def role_name(user: User) -> str:
    """Return what a user's role is called: each node has one of its own."""
    return f"node-{user.name}" if user.role is Role.NODE else user.role.value


def _roles(users: Iterable[User], topics: Topics) -> dict[str, Rights]:
    return {role_name(user): rights(user, topics) for user in users}


def identity(user: User) -> dict[str, Any]:
    """Return who a user is to the plugin, all but its password."""
    bound = {} if user.role in _PEOPLE else {"clientid": user.name}
    return {
        "username": user.name,
        **bound,
        "textname": f"PiRack {user.role}",
        "roles": [{"rolename": role_name(user)}],
    }


def client(user: User) -> dict[str, Any]:
    """Return a user as it stands in the plugin's file, with its password hashed."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return {
        **identity(user),
        "password": hash_password(user.password, salt),
        "salt": base64.b64encode(salt).decode(),
        "iterations": _ITERATIONS,
    }


def acls(granted: Rights) -> list[dict[str, Any]]:
    """Return what a role may do, as the plugin writes it."""
    kinds = (
        ("publishClientSend", granted.publish),
        ("subscribePattern", granted.subscribe),
        ("subscribeLiteral", granted.exactly),
        ("publishClientReceive", granted.receive),
    )
    return [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind, allowed in kinds
        for topic in allowed
    ]
