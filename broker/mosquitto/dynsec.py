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

from broker.common.atomic import replace
from broker.contract.topics import HOME_ASSISTANT_STATUS, NodeLeaf, Topics
from broker.contract.verbs import ADMIN_VERBS, READING_VERBS

Acl = dict[str, Any]
"""One right or denial, as the plugin writes it."""

FILE_NAME = "dynamic-security.json"
_OF_NODE = "node-"
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
    DASHBOARD_OPERATOR = "dashboard-operator"
    """Sends what an operator asks for on the page."""
    DASHBOARD_ADMIN = "dashboard-admin"
    """Sends what an admin asks for on the page."""
    OPERATOR = "operator"
    """Reads everything and sends every verb that is not in ``ADMIN_VERBS``."""
    VIEWER = "viewer"
    """Reads everything and sends nothing."""
    ADMIN = "admin"
    """Reads everything and sends every verb. In a rack that was set up before there was
    a ``broker-admin`` it keeps the right to change who may connect."""
    BROKER_ADMIN = "broker-admin"
    """May change who may connect, through ``dynsec_control``; nothing else."""


PEOPLE = frozenset({Role.OPERATOR, Role.VIEWER, Role.ADMIN, Role.BROKER_ADMIN})
"""Their tools choose client ids freely. Every other user must connect with one client
id, or it could end the connection of another user with its own password."""
SHARED_ROLES = frozenset(role.value for role in Role if role is not Role.NODE)
"""Names of the roles that every rack has."""
TEXT_NAME = "PiRack"
"""Begins the text name of every client that we make."""
_DENY_PRIORITY = 10
CONTROL = "$CONTROL/dynamic-security"
"""Below it the plugin takes requests and answers them."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One who may connect; the ``repr`` hides the password.

    Args:
        name: User name; of a node its id.
        password: Secret.
        role: What it is.
        client_id: The only client id that a node or service may connect with; empty
            for its name, which others can guess.
    """

    name: str
    password: str
    role: Role
    client_id: str = ""

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"User({self.name}, {self.role})"


class Rights(msgspec.Struct, frozen=True):
    """What one role may do.

    Args:
        publish: Topics and filters it may publish to.
        deny: Filters of topics among these that it may not publish to.
        subscribe: Filters it may subscribe to, and all that lies below them.
        exactly: Filters it may subscribe to as they stand.
        receive: Filters of what the plugin delivers to nobody unless it is said here:
            its own answers, below ``$CONTROL``.
    """

    publish: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    exactly: tuple[str, ...] = ()
    receive: tuple[str, ...] = ()


def rights(user: User, topics: Topics) -> Rights:
    """Return what a user may do in a rack."""
    if user.role is Role.NODE:
        return _node_rights(user.name, topics)
    return _role_rights(user.role, topics)


def _role_rights(role: Role, topics: Topics) -> Rights:
    everything = f"{topics.prefix}/#"
    commands = topics.command_filters()
    faults = f"{topics.prefix}/sim/cmd/+"
    admins = _commands(topics, ADMIN_VERBS)
    own = (f"{CONTROL}/#",)
    every = {
        Role.MASTER: Rights(
            publish=(everything, "homeassistant/device/+/config"),
            subscribe=(everything,),
            exactly=(HOME_ASSISTANT_STATUS,),
        ),
        Role.SIMULATOR: Rights(
            publish=(f"{topics.prefix}/sim/#", f"{topics.prefix}/inbox/+"),
            subscribe=(f"{topics.prefix}/sim/#",),
            exactly=(topics.stack("+"), topics.master_status),
        ),
        Role.DASHBOARD: Rights(
            publish=_commands(topics, READING_VERBS), subscribe=(everything,)
        ),
        Role.DASHBOARD_OPERATOR: Rights(publish=commands, deny=admins),
        Role.DASHBOARD_ADMIN: Rights(publish=commands),
        Role.OPERATOR: Rights(
            publish=(*commands, faults), deny=admins, subscribe=(everything,)
        ),
        Role.VIEWER: Rights(subscribe=(everything,)),
        Role.ADMIN: Rights(publish=(*commands, faults), subscribe=(everything,)),
        Role.BROKER_ADMIN: Rights(publish=own, subscribe=own, receive=own),
    }
    return every[role]


def _commands(topics: Topics, verbs: Iterable[str]) -> tuple[str, ...]:
    """Return filters of the commands with these verbs, in every scope."""
    filters = topics.command_filters()
    return tuple(
        f"{one.removesuffix('+')}{verb}" for verb in sorted(verbs) for one in filters
    )


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


def has_password(row: Acl, password: str) -> bool:
    """Return whether a client of the plugin's file has this password."""
    try:
        salt = base64.b64decode(row["salt"])
        known = row["password"], row["iterations"]
    except (KeyError, ValueError):
        return False
    return known == (hash_password(password, salt), _ITERATIONS)


def is_node_role(name: str) -> bool:
    """Return whether a role is that of one node."""
    return name.startswith(_OF_NODE)


def role_name(user: User) -> str:
    """Return what a user's role is called: each node has one of its own."""
    return f"{_OF_NODE}{user.name}" if user.role is Role.NODE else user.role.value


def wanted_rights(role: str, topics: Topics) -> Rights | None:
    """Return what a role of the broker should allow; None where it is not ours."""
    if is_node_role(role):
        return _node_rights(role.removeprefix(_OF_NODE), topics)
    if role in SHARED_ROLES:
        return _role_rights(Role(role), topics)
    return None


def renewed(role: str, present: Sequence[Acl], topics: Topics) -> list[Acl]:
    """Return the ACLs that a role should have: ours, and what people added to it.

    What earlier releases allowed and this one does not is taken away.

    Args:
        role: Name of a role of ours.
        present: What it has.
        topics: Of the rack.
    """
    ours = acls(wanted_rights(role, topics) or Rights())
    former = acls(_former_rights(role, topics))
    known = {_key(one) for one in (*ours, *former)}
    return [*ours, *(one for one in present if _key(one) not in known)]


def outdated(role: str, present: Sequence[Acl], topics: Topics) -> bool:
    """Return whether a role of ours lacks a right, or has one that was taken away."""
    now = {_whole(one) for one in present}
    return now != {_whole(one) for one in renewed(role, present, topics)}


def _former_rights(role: str, topics: Topics) -> Rights:
    """Return what a role could do in an earlier release."""
    if role == Role.DASHBOARD:
        faults = f"{topics.prefix}/sim/cmd/+"
        return Rights(publish=(*topics.command_filters(), faults))
    return Rights()


def _key(acl: Acl) -> tuple[object, object]:
    return acl.get("acltype"), acl.get("topic")


def _whole(acl: Acl) -> tuple[object, ...]:
    return *_key(acl), acl.get("priority", 0), acl.get("allow", False)


def _roles(users: Iterable[User], topics: Topics) -> dict[str, Rights]:
    return {role_name(user): rights(user, topics) for user in users}


def identity(user: User) -> dict[str, Any]:
    """Return who a user is to the plugin, all but its password."""
    bound = {} if user.role in PEOPLE else {"clientid": user.client_id or user.name}
    return {
        "username": user.name,
        **bound,
        "textname": f"{TEXT_NAME} {user.role}",
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


def acls(granted: Rights) -> list[Acl]:
    """Return what a role may do, as the plugin writes it; denials come first."""
    kinds = (
        ("publishClientSend", granted.publish),
        ("subscribePattern", granted.subscribe),
        ("subscribeLiteral", granted.exactly),
        ("publishClientReceive", granted.receive),
    )
    denied: list[Acl] = [
        {
            "acltype": "publishClientSend",
            "topic": topic,
            "priority": _DENY_PRIORITY,
            "allow": False,
        }
        for topic in granted.deny
    ]
    return denied + [
        {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
        for kind, allowed in kinds
        for topic in allowed
    ]
