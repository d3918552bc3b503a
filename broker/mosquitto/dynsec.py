"""Who may say what: Mosquitto's dynamic-security plugin, its file and its rights.

An ``acl_file`` would be shorter, but in Mosquitto 2.0 one that is broken or missing at
a reload lets everybody publish anywhere; this plugin refuses everyone instead.

The file is changed only while the broker is down: a running one would write its own
view over ours. ``dynsec_control`` changes a running broker.
"""

import base64
import enum
import hashlib
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from broker.common.atomic import put_aside, replace
from broker.common.errors import ConfigError, DamagedFileError
from broker.contract.topics import HOME_ASSISTANT_STATUS, NodeLeaf, Topics
from broker.contract.verbs import ADMIN_VERBS, READING_VERBS

Acl = dict[str, Any]
"""One right or denial, as the plugin writes it."""
Document = dict[str, Any]
"""The plugin's file, or a client or role in it."""

FILE_NAME = "dynamic-security.json"
CONTROL = "$CONTROL/dynamic-security"
"""Below it the plugin takes requests and answers them."""
TEXT_NAME = "PiRack"
"""Begins the text name of every client that we make."""
_OF_NODE = "node-"
_DENY_PRIORITY = 10
_SALT_BYTES = 12  # what the plugin of 2.0 reads, no more and no less
_HASH_BYTES = 64
_ITERATIONS = 101
"""What ``mosquitto_ctrl`` uses. Our passwords have 192 random bits, so that more would
only let a rack that reconnects occupy the broker's one thread."""


class BrokerRole(enum.StrEnum):
    """What a user of the broker is; what it may say follows from it."""

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


PEOPLE = frozenset(
    {
        BrokerRole.OPERATOR,
        BrokerRole.VIEWER,
        BrokerRole.ADMIN,
        BrokerRole.BROKER_ADMIN,
    }
)
"""Their tools choose client ids freely. Every other user must connect with one client
id, or it could end the connection of another user with its own password."""
SHARED_ROLES = frozenset(role.value for role in BrokerRole if role != BrokerRole.NODE)
"""Names of the roles that every rack has."""


class BrokerUser(msgspec.Struct, frozen=True, kw_only=True):
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
    role: BrokerRole
    client_id: str = ""

    def __repr__(self) -> str:
        """Returns what may stand in a log."""
        return f"BrokerUser({self.name}, {self.role})"

    @property
    def role_name(self) -> str:
        """What its role is called at the broker: each node has one of its own."""
        is_node = self.role is BrokerRole.NODE
        return f"{_OF_NODE}{self.name}" if is_node else self.role.value

    @property
    def bound_client_id(self) -> str:
        """The client id it must connect with; empty for people."""
        return "" if self.role in PEOPLE else self.client_id or self.name

    @property
    def identity(self) -> Document:
        """Who it is to the plugin, all but its password."""
        bound = self.bound_client_id
        return {
            "username": self.name,
            **({"clientid": bound} if bound else {}),
            "textname": f"{TEXT_NAME} {self.role}",
            "roles": [{"rolename": self.role_name}],
        }


class Rights(msgspec.Struct, frozen=True):
    """What one role may do.

    Args:
        publish: Topics and filters it may publish to.
        deny: Filters of topics among these that it may not publish to.
        subscribe: Filters it may subscribe to, and all that lies below them.
        exactly: Filters it may subscribe to as they stand.
        receive: Filters of what the plugin delivers only to whom it is said here: its
            own answers, below ``$CONTROL``.
    """

    publish: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    exactly: tuple[str, ...] = ()
    receive: tuple[str, ...] = ()

    def acls(self) -> list[Acl]:
        """Returns them as the plugin writes them; denials come first."""
        allowed = (
            ("publishClientSend", self.publish),
            ("subscribePattern", self.subscribe),
            ("subscribeLiteral", self.exactly),
            ("publishClientReceive", self.receive),
        )
        return [
            *(_acl("publishClientSend", topic, allow=False) for topic in self.deny),
            *(_acl(kind, topic) for kind, topics in allowed for topic in topics),
        ]


def _acl(kind: str, topic: str, *, allow: bool = True) -> Acl:
    priority = 0 if allow else _DENY_PRIORITY
    return {"acltype": kind, "topic": topic, "priority": priority, "allow": allow}


def is_our_role(name: str) -> bool:
    """Returns whether PiRack made a role of the broker."""
    return name in SHARED_ROLES or name.startswith(_OF_NODE)


def rights_of(role: str, topics: Topics) -> Rights:
    """Returns what a role of the broker should allow in a rack.

    Args:
        role: Its name, as ``BrokerUser.role_name`` gives it.
        topics: Of the rack.
    """
    if role.startswith(_OF_NODE):
        return _node_rights(role.removeprefix(_OF_NODE), topics)
    everything = f"{topics.prefix}/#"
    commands = topics.command_filters()
    faults = f"{topics.prefix}/sim/cmd/+"
    admins = _commands(topics, ADMIN_VERBS)
    own = (f"{CONTROL}/#",)
    every = {
        BrokerRole.MASTER: Rights(
            publish=(everything, "homeassistant/device/+/config"),
            subscribe=(everything,),
            exactly=(HOME_ASSISTANT_STATUS,),
        ),
        BrokerRole.SIMULATOR: Rights(
            publish=(f"{topics.prefix}/sim/#", f"{topics.prefix}/inbox/+"),
            subscribe=(f"{topics.prefix}/sim/#",),
            exactly=(topics.stack("+"), topics.master_status),
        ),
        BrokerRole.DASHBOARD: Rights(
            publish=_commands(topics, READING_VERBS), subscribe=(everything,)
        ),
        BrokerRole.DASHBOARD_OPERATOR: Rights(publish=commands, deny=admins),
        BrokerRole.DASHBOARD_ADMIN: Rights(publish=commands),
        BrokerRole.OPERATOR: Rights(
            publish=(*commands, faults), deny=admins, subscribe=(everything,)
        ),
        BrokerRole.VIEWER: Rights(subscribe=(everything,)),
        BrokerRole.ADMIN: Rights(publish=(*commands, faults), subscribe=(everything,)),
        BrokerRole.BROKER_ADMIN: Rights(publish=own, subscribe=own, receive=own),
    }
    return every[BrokerRole(role)]


def _commands(topics: Topics, verbs: Iterable[str]) -> tuple[str, ...]:
    """Returns filters of the commands with these verbs, in every scope."""
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


def _former_rights(role: str, topics: Topics) -> Rights:
    """Returns what a role could do in an earlier release."""
    if role == BrokerRole.DASHBOARD:
        faults = f"{topics.prefix}/sim/cmd/+"
        return Rights(publish=(*topics.command_filters(), faults))
    return Rights()


def renewed(role: str, present: Sequence[Acl], topics: Topics) -> list[Acl]:
    """Returns the ACLs that a role should have: ours, and what people added to it.

    What earlier releases allowed and this one does not is taken away.

    Args:
        role: Name of a role of ours.
        present: What it has.
        topics: Of the rack.
    """
    ours = rights_of(role, topics).acls()
    former = _former_rights(role, topics).acls()
    known = {_key(one) for one in (*ours, *former)}
    return [*ours, *(one for one in present if _key(one) not in known)]


def outdated(role: str, present: Sequence[Acl], topics: Topics) -> bool:
    """Returns whether a role of ours lacks a right, or has one that was taken away."""
    now = {_whole(one) for one in present}
    return now != {_whole(one) for one in renewed(role, present, topics)}


def _key(acl: Acl) -> tuple[object, object]:
    return acl.get("acltype"), acl.get("topic")


def _whole(acl: Acl) -> tuple[object, ...]:
    return *_key(acl), acl.get("priority", 0), acl.get("allow", False)


def hash_password(password: str, salt: bytes) -> str:
    """Returns a password as Mosquitto keeps it: PBKDF2 with SHA-512, Base64."""
    digest = hashlib.pbkdf2_hmac(
        "sha512", password.encode(), salt, _ITERATIONS, _HASH_BYTES
    )
    return base64.b64encode(digest).decode()


def has_password(row: Document, password: str) -> bool:
    """Returns whether a client of the plugin's file has this password."""
    try:
        salt = base64.b64decode(row["salt"])
        known = row["password"], row["iterations"]
    except (KeyError, ValueError):
        return False
    return known == (hash_password(password, salt), _ITERATIONS)


def client(user: BrokerUser) -> Document:
    """Returns a user as it stands in the plugin's file, with its password hashed."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return {
        **user.identity,
        "password": hash_password(user.password, salt),
        "salt": base64.b64encode(salt).decode(),
        "iterations": _ITERATIONS,
    }


def document(users: Sequence[BrokerUser], topics: Topics) -> Document:
    """Returns the plugin's configuration: only what roles allow is allowed.

    ``publishClientReceive`` stays open: who may not subscribe receives nothing, and a
    check less for every delivery is the point of a broker.
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
            {"rolename": role, "acls": rights_of(role, topics).acls()}
            for role in dict.fromkeys(user.role_name for user in users)
        ],
    }


def write(directory: Path, users: Sequence[BrokerUser], topics: Topics) -> Path:
    """Writes the plugin's file, mode 0600, and returns its path.

    Args:
        directory: The broker's data directory.
        users: All of them; others cannot connect any more.
        topics: Of the rack.

    Raises:
        OSError: The directory cannot be written.
    """
    path = directory / FILE_NAME
    replace(path, _text(document(users, topics)), mode=0o600)
    return path


def add_user(path: Path, user: BrokerUser, topics: Topics) -> None:
    """Lets a user connect, with this password, from the broker's next start on.

    Raises:
        ConfigError: The file cannot be read or is something else.
        OSError: It cannot be written.
    """
    rest = _without(_read(path), user)
    acls = rights_of(user.role_name, topics).acls()
    rest["clients"].append(client(user))
    rest["roles"].append({"rolename": user.role_name, "acls": acls})
    _write(path, rest)


def remove_node(path: Path, node: str) -> bool:
    """Takes a node's right to connect; returns whether it had one.

    Raises:
        ConfigError: The file cannot be read or is something else.
        OSError: It cannot be written.
    """
    before = _read(path)
    after = _without(before, BrokerUser(name=node, password="", role=BrokerRole.NODE))
    if after == before:
        return False
    _write(path, after)
    return True


def merge(directory: Path, users: Sequence[BrokerUser], topics: Topics) -> Path:
    """Writes users and roles of ours into the plugin's file, and returns its path.

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
    path = directory / FILE_NAME
    if not path.exists():
        return write(directory, users, topics)
    try:
        before = _read(path)
    except DamagedFileError as error:
        put_aside(path, error, "users that were added by hand must be added again")
        return write(directory, users, topics)
    after = _merged(before, users, topics)
    if after != before:
        _write(path, after)
    return path


def _merged(
    document: Document, users: Sequence[BrokerUser], topics: Topics
) -> Document:
    clients = {one["username"]: one for one in document["clients"]}
    roles = {one["rolename"]: one for one in document["roles"]}
    for user in users:
        clients[user.name] = _renewed_client(user, clients.get(user.name))
        name = user.role_name
        row = roles.get(name, {})
        acls = renewed(name, row.get("acls", []), topics)
        roles[name] = {**row, "rolename": name, "acls": acls}
    made_by_us = {
        name
        for name, row in clients.items()
        if str(row.get("textname", "")).startswith(TEXT_NAME)
    }
    gone = made_by_us - {user.name for user in users}
    stale = {name for name in roles if name.startswith(_OF_NODE)}
    stale -= {user.role_name for user in users}
    return {
        **document,
        "clients": [row for name, row in clients.items() if name not in gone],
        "roles": [row for name, row in roles.items() if name not in stale],
    }


def _renewed_client(user: BrokerUser, row: Document | None) -> Document:
    """Returns a client as it should be; its password only where it changed."""
    if row is None:
        return client(user)
    own = user.identity
    given = [one for one in row.get("roles", []) if one not in own["roles"]]
    changed = {} if has_password(row, user.password) else client(user)
    rest = {key: value for key, value in row.items() if key != "clientid"}
    return {**rest, **changed, **own, "roles": [*own["roles"], *given]}


def _without(document: Document, user: BrokerUser) -> Document:
    """Returns the content without a user and the role that bears its name."""
    role = user.role_name
    return {
        **document,
        "clients": [one for one in document["clients"] if one["username"] != user.name],
        "roles": [one for one in document["roles"] if one["rolename"] != role],
    }


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


def _text(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _write(path: Path, document: Document) -> None:
    """Replaces the file; it stays the broker's, who must read and write it."""
    owner = path.stat()
    replace(path, _text(document), mode=0o600)
    if owner.st_uid != os.geteuid():
        os.chown(path, owner.st_uid, owner.st_gid)
