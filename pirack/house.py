"""A rack that nodes can join: where its secrets are, and by which door they come in.

Both ways to run a rack describe theirs in the same two tables: ``pirack init`` in
``pirack.toml``, ``pirack up --listen`` in ``etc/enrol.toml`` of its data directory.
"""

import argparse
from pathlib import Path

import msgspec

from broker.client.endpoint import Endpoint
from broker.common.config import BrokerSettings, Document, Port, RackSettings, load
from broker.common.errors import ConfigError
from broker.common.service import TABLES
from broker.contract.topics import Topics
from broker.contract.verbs import ADMIN_VERBS
from broker.mosquitto import credentials
from broker.mosquitto.certificates import Files
from broker.mosquitto.credentials import Credentials
from pirack import runfile

TLS_PORT = 8883
"""IANA's for MQTT over TLS."""
PRODUCTION = Path("/etc/pirack/pirack.toml")
"""What ``pirack init`` writes, and where everything looks last."""
UP_FILE = Path("etc/enrol.toml")
"""In a data directory of ``pirack up --listen``."""
ADMIN, OPERATOR = "admin", "operator"
BROKER_ADMIN = "broker-admin"
"""The user that may change who connects; in a rack that an earlier release set up, and
that was not brought up to date, ``admin`` may."""


class EnrolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[enrol]``: how nodes join; read by `pirack node`, `send`, `watch`, `doctor`.

    Args:
        host: Name or address by which nodes reach the broker; its certificate has it.
        port: TCP port of the encrypted listener.
        secrets: Directory of passwords and of the authority's key.
        tls: Directory of ``ca.crt``, ``server.crt`` and ``server.key``.
        dynsec: The broker's file of who may connect; changed while it is down.
    """

    host: str = ""
    port: Port = TLS_PORT
    secrets: str = ""
    tls: str = ""
    dynsec: str = ""


class House(msgspec.Struct, frozen=True, kw_only=True):
    """A rack that nodes can join.

    Args:
        topics: Of the rack.
        broker: Host and port by which programs on this machine reach the broker.
        host: By which nodes reach it.
        port: Likewise, encrypted.
        secrets: Directory of passwords and of the authority's key.
        tls: Directory of certificates.
        dynsec: The broker's file of who may connect.
        source: The file that says all this.
        own: This machine's agent's credentials, where they are not among the secrets.
    """

    topics: Topics
    broker: tuple[str, int]
    host: str
    port: int
    secrets: Path
    tls: Path
    dynsec: Path
    source: Path
    own: Path | None = None

    @property
    def files(self) -> Files:
        """Keys and certificates."""
        return certificate_files(self.secrets, self.tls)

    @property
    def bundles(self) -> Path:
        """Where what a Pi needs is put together."""
        return self.secrets / "bundles"

    @property
    def board_wheels(self) -> Path:
        """Where wheels are kept that boards made, for others of their kind."""
        return self.secrets / "board-wheels"

    @property
    def own_node(self) -> str:
        """Id of this machine's agent; empty where it is not known.

        Raises:
            ConfigError: Its credentials cannot be read.
        """
        if self.own is None or not self.own.exists():
            return ""
        return credentials.read(self.own).username

    def node(self, node: str) -> Path:
        """Return the file with a node's password."""
        return node_file(self.secrets, node)

    def nodes(self) -> tuple[str, ...]:
        """Return the ids of the nodes that were added."""
        return added_nodes(self.secrets)

    def commander(self, verb: str = "") -> str:
        """Return the user that sends a verb: the one with the fewest rights.

        In a rack whose rights are those of an earlier release an operator may send
        every verb, and ``admin`` none.
        """
        renewed = (self.secrets / f"{BROKER_ADMIN}.json").exists()
        return ADMIN if verb in ADMIN_VERBS and renewed else OPERATOR

    def inside(self, user: str) -> Endpoint:
        """Return the broker as a user of this machine reaches it.

        Raises:
            ConfigError: That user's credentials cannot be read.
        """
        found = credentials.read(self.secrets / f"{user}.json")
        host, port = self.broker
        return Endpoint(
            host=host,
            port=port,
            username=found.username,
            password=found.password,
            client_id=found.client_id,
        )

    def door(self, as_whom: Credentials) -> Endpoint:
        """Return the broker as a node reaches it."""
        return Endpoint(
            host=self.host,
            port=self.port,
            username=as_whom.username,
            password=as_whom.password,
            client_id=as_whom.client_id,
            ca_file=self.files.authority,
        )


def certificate_files(secrets: Path, tls: Path) -> Files:
    """Return where keys and certificates are."""
    return Files(
        authority_key=secrets / "ca.key",
        authority=tls / "ca.crt",
        key=tls / "server.key",
        certificate=tls / "server.crt",
    )


def node_file(secrets: Path, node: str) -> Path:
    """Return the file with an added node's password."""
    return secrets / "nodes" / f"{node}.json"


def added_nodes(secrets: Path) -> tuple[str, ...]:
    """Return the ids of the nodes that were added; each has a file with its password.

    Raises:
        ConfigError: The directory cannot be read.
    """
    try:
        return tuple(sorted(one.stem for one in (secrets / "nodes").glob("*.json")))
    except OSError as error:
        text = f"{secrets}: cannot be read: {error.strerror}; be root: use sudo"
        raise ConfigError(text) from error


def find(args: argparse.Namespace) -> House:
    """Return the rack that ``--config`` or ``--data`` names, else the one found here.

    Raises:
        ConfigError: There is none, or nodes cannot join it.
    """
    return read(locate(args.config, args.data))


def locate(config: Path | None, data: Path | None) -> Path:
    """Return the file that describes the rack.

    Raises:
        ConfigError: There is none.
    """
    if config is not None:
        return config
    directory = runfile.data_directory(data)
    if (directory / UP_FILE).exists():
        return directory / UP_FILE
    if data is None and PRODUCTION.exists():
        return PRODUCTION
    text = (
        f"no rack here that nodes can join: {directory} has none, and there is no "
        f"{PRODUCTION}. Start one: pirack up --listen 0.0.0.0; or set one up for good: "
        "sudo pirack init"
    )
    raise ConfigError(text)


def read(path: Path) -> House:
    """Read a rack's description.

    Raises:
        ConfigError: It cannot be read, or nodes cannot join that rack.
        TopicError: The rack's name is illegal.
    """
    document = load(path)
    document.require_known(TABLES)
    found = of(document, path)
    if found is None:
        text = (
            f"{path}: has no [enrol] with host, secrets, tls and dynsec; `pirack init` "
            "writes it"
        )
        raise ConfigError(text)
    return found


def of(document: Document, path: Path) -> House | None:
    """Return what a configuration describes; None where nodes cannot join by it.

    Raises:
        ConfigError: A key is unknown or of the wrong type.
        TopicError: The rack's name is illegal.
    """
    enrol = document.table("enrol", EnrolSettings)
    if not (enrol.host and enrol.secrets and enrol.tls and enrol.dynsec):
        return None
    broker = document.table("broker", BrokerSettings)
    return House(
        topics=Topics(document.table("rack", RackSettings).name),
        broker=(broker.host, broker.port),
        host=enrol.host,
        port=enrol.port,
        secrets=Path(enrol.secrets),
        tls=Path(enrol.tls),
        dynsec=Path(enrol.dynsec),
        source=path,
        own=Path(broker.credentials) if broker.credentials else None,
    )
