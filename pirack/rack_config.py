"""Which rack is meant, as whom it is talked to, and where its secrets are.

A ``FoundRack`` can be talked to; ``RackAccess`` lets nodes join it. Both ways to run a
rack describe the second in the same two tables: ``pirack init`` in ``pirack.toml``,
``pirack up --listen`` in ``etc/enrol.toml`` of its data directory. No option takes a
password: it would be in the process list.
"""

import argparse
from pathlib import Path
from typing import Annotated, Any

import msgspec

from broker.client.endpoint import Endpoint
from broker.client.link import Connect
from broker.client.mqtt_link import check_connection, connector
from broker.common.config import BrokerSettings, Document, Port, RackSettings, load
from broker.common.errors import ConfigError, LinkError, LinkRefusedError
from broker.common.service import TABLES
from broker.contract.topics import Topics
from broker.contract.verbs import ADMIN_VERBS
from broker.mosquitto import credentials
from broker.mosquitto.certificates import Files
from broker.mosquitto.credentials import Credentials
from pirack import option_types, runfile
from pirack.runfile import RunFile

TLS_PORT = 8883
"""IANA's for MQTT over TLS."""
PRODUCTION = Path("/etc/pirack/pirack.toml")
"""What ``pirack init`` writes, and where everything looks last."""
UP_FILE = Path("etc/enrol.toml")
"""In a data directory of ``pirack up --listen``."""
MASTER_FILE = "master.toml"
"""What ``pirack up`` gives its master, beside its description of the rack."""
ADMIN, OPERATOR = "admin", "operator"
BROKER_ADMIN = "broker-admin"
"""The user that may change who connects; in a rack that an earlier release set up, and
that was not brought up to date, ``admin`` may."""
SEE_DOCTOR = "See `pirack doctor`"


class NoRackError(ConfigError):
    """Nothing says where a rack is; a person may have to start one."""


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


class UpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[up]``: what only ``pirack up`` reads.

    Args:
        data: Directory of all that is kept; empty: ``$PIRACK_DATA``, else ``.pirack``.
        simulate: Stacks x boards to simulate, for example ``12x4``; ``0`` for none;
            empty for the shape ``[rack]`` has, else ``12x4``.
        allow_host_power: Let a simulated rack take down the machine it runs on, too.
        listen: ``ADDRESS`` or ``ADDRESS:PORT`` of an encrypted listener for real Pis,
            for example ``0.0.0.0``; empty for none: then only this machine can connect.
        names: Host names and addresses by which Pis reach this machine, the one they
            are told first; empty for its addresses and its host name.
    """

    data: str = ""
    simulate: Annotated[str, msgspec.Meta(max_length=16)] = ""
    allow_host_power: bool = False
    listen: Annotated[str, msgspec.Meta(max_length=64)] = ""
    names: tuple[str, ...] = ()


class RackAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets and the TLS listener of a rack that nodes can join.

    Args:
        topics: Of the rack.
        broker: Host and port by which programs on this machine reach the broker.
        host: By which nodes reach it.
        port: Of the encrypted listener, for nodes.
        secrets: Directory of passwords and of the authority's key.
        tls: Directory of certificates.
        dynsec: The broker's file of who may connect.
        source: The file that describes all this.
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
        """Returns the file with a node's password."""
        return node_file(self.secrets, node)

    def nodes(self) -> tuple[str, ...]:
        """Returns the ids of the nodes that were added."""
        return added_nodes(self.secrets)

    def commander(self, verb: str = "") -> str:
        """Returns the user that sends a verb: the one with the fewest rights.

        In a rack whose rights are those of an earlier release an operator may send
        every verb, and ``admin`` none.
        """
        renewed = (self.secrets / f"{BROKER_ADMIN}.json").exists()
        return ADMIN if verb in ADMIN_VERBS and renewed else OPERATOR

    def local_endpoint(self, user: str) -> Endpoint:
        """Returns the broker as a user of this machine reaches it.

        Raises:
            ConfigError: That user's credentials cannot be read.
        """
        host, port = self.broker
        return _endpoint(host, port, credentials.read(self.secrets / f"{user}.json"))

    def tls_endpoint(self, secret: Credentials) -> Endpoint:
        """Returns the broker as a node reaches it."""
        return _endpoint(self.host, self.port, secret, self.files.authority)

    def install_directory(self) -> Path:
        """Returns the folder of the SSH key, the host keys and the journal of installs.

        ``[install] data_dir``, as the master has it; where nothing says it, beside what
        the master keeps.

        Raises:
            ConfigError: The rack's description cannot be read.
        """
        described = [self.source, self.source.with_name(MASTER_FILE)]
        files = [load(path).tables for path in described if path.exists()]

        def said(table: str) -> str:
            words = (_word(tables, table, "data_dir") for tables in files)
            return next(filter(None, words), "")

        if given := said("install"):
            return Path(given).absolute()
        return Path(said("master") or self.source.parent).absolute() / "install"


def _endpoint(
    host: str, port: int, secret: Credentials, authority: Path | None = None
) -> Endpoint:
    return Endpoint(
        host=host,
        port=port,
        username=secret.username,
        password=secret.password,
        client_id=secret.client_id,
        ca_file=authority,
    )


def certificate_files(secrets: Path, tls: Path) -> Files:
    """Returns where keys and certificates are."""
    return Files(
        authority_key=secrets / "ca.key",
        authority=tls / "ca.crt",
        key=tls / "server.key",
        certificate=tls / "server.crt",
    )


def node_file(secrets: Path, node: str) -> Path:
    """Returns the file with an added node's password."""
    return secrets / "nodes" / f"{node}.json"


def added_nodes(secrets: Path) -> tuple[str, ...]:
    """Returns the ids of the nodes that were added; each has a file with its password.

    Raises:
        ConfigError: The directory cannot be read.
    """
    try:
        return tuple(sorted(one.stem for one in (secrets / "nodes").glob("*.json")))
    except OSError as error:
        text = f"{secrets}: cannot be read: {error.strerror}; be root: use sudo"
        raise ConfigError(text) from error


def find_access(args: argparse.Namespace) -> RackAccess:
    """Returns the rack that ``--config`` or ``--data`` names, else the one found here.

    Raises:
        ConfigError: There is none, or nodes cannot join it.
    """
    return read_access(locate(args.config, args.data))


def locate(config: Path | None, data: Path | None) -> Path:
    """Returns the file that describes the rack.

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


def read_access(path: Path) -> RackAccess:
    """Reads a rack's description.

    Raises:
        ConfigError: It cannot be read, or nodes cannot join that rack.
        TopicError: The rack's name is illegal.
    """
    document = load(path)
    document.require_known(TABLES)
    found = access_of(document, path)
    if found is None:
        text = (
            f"{path}: has no [enrol] with host, secrets, tls and dynsec; `pirack init` "
            "writes it"
        )
        raise ConfigError(text)
    return found


def access_of(document: Document, path: Path) -> RackAccess | None:
    """Returns what a configuration describes; None where nodes cannot join by it.

    Raises:
        ConfigError: A key is unknown or of the wrong type.
        TopicError: The rack's name is illegal.
    """
    enrol = document.table("enrol", EnrolSettings)
    if not (enrol.host and enrol.secrets and enrol.tls and enrol.dynsec):
        return None
    broker = document.table("broker", BrokerSettings)
    return RackAccess(
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


class FoundRack(msgspec.Struct, frozen=True, kw_only=True):
    """A rack that can be talked to.

    Args:
        topics: Of the rack.
        endpoint: Its broker, and who we are there.
        run: What its ``pirack up`` says; None for a rack found by configuration.
        source: Where all this was found, for a person.
    """

    topics: Topics
    endpoint: Endpoint
    run: RunFile | None
    source: str

    @property
    def broker(self) -> str:
        """The broker and who we are there, in words, without a secret."""
        name = self.endpoint.username or "nobody in particular"
        return f"{self.endpoint.host}:{self.endpoint.port}, signed in as {name}"


def add_options(parser: argparse.ArgumentParser, *, broker: bool = True) -> None:
    """Gives a sub-command the options that say which rack is meant.

    Args:
        parser: Of the sub-command.
        broker: Also those that name a broker and a user of it.
    """
    group = parser.add_argument_group(
        "which rack",
        "Without any of these: that of `pirack up` here, else that of `pirack init`.",
    )
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data directory of that `pirack up` (default: $PIRACK_DATA, or .pirack)",
    )
    if not broker:
        group.add_argument(
            "--config", type=Path, metavar="FILE", help="pirack.toml of `pirack init`"
        )
        return
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="pirack.toml: its [rack], [broker]"
    )
    group.add_argument("--rack", metavar="NAME", help="rack name, as in the topics")
    group.add_argument("--host", help="broker: name or address")
    group.add_argument("--port", type=option_types.port, help="broker: TCP port")
    group.add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        help="JSON file (mode 0600) with `username` and `password`",
    )
    group.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="certificate authority of the broker; turns TLS on",
    )


def find_rack(args: argparse.Namespace, verb: str = "") -> FoundRack:
    """Returns the rack the options name.

    In this order: what an option names; ``--config``; the ``run.json`` of a running
    ``pirack up``; what ``pirack init`` wrote.

    Args:
        args: The options.
        verb: What is going to be sent; the user that may send it is chosen by it.

    Raises:
        NoRackError: Nothing says where the broker is.
        ConfigError: A file cannot be read.
        TopicError: The rack's name is illegal.
    """
    data, run = running(args)
    config: Path | None = args.config
    if run is None and not (config or args.data or args.host or args.credentials):
        config = PRODUCTION if PRODUCTION.exists() else None
    if run is None and not (config or args.host or args.credentials):
        text = (
            f"no rack found: no `pirack up` is running on {data}. Start one, name its "
            "directory with --data, or give --config FILE, or --host and --credentials"
        )
        raise NoRackError(text)
    found = _from_run(run, data) if run else _from_config(config, verb)
    return _with_options(found, args)


def running(args: argparse.Namespace) -> tuple[Path, RunFile | None]:
    """Returns the data directory meant, and what a ``pirack up`` that runs on it says.

    One that was started with another file than ``--config`` names counts as none.

    Raises:
        ConfigError: A file cannot be read.
    """
    data: Path | None = args.data
    if data is None and args.config:
        data = _data_of(args.config)
    directory = runfile.data_directory(data)
    if not args.config:
        return directory, runfile.read(directory)
    try:
        run = runfile.read(directory)
    except ConfigError:
        return directory, None  # another person's; the file named says where to go
    return directory, run if run and run.uses(args.config) else None


def _data_of(config: Path) -> Path | None:
    """Returns the data directory that a configuration gives ``pirack up``."""
    try:
        return (
            Path(word) if (word := _word(load(config).tables, "up", "data")) else None
        )
    except ConfigError:
        return None  # said by who reads the file


def _word(tables: dict[str, Any], table: str, key: str) -> str:
    """Returns a text from a configuration; empty where it has none."""
    found = tables.get(table, {})
    return str(found.get(key, "")) if isinstance(found, dict) else ""


def _from_run(run: RunFile, data: Path) -> FoundRack:
    access = run.mqtt
    return FoundRack(
        topics=Topics(run.rack),
        endpoint=Endpoint(
            host=access.host,
            port=access.port,
            username=access.username,
            password=access.password,
        ),
        run=run,
        source=str(data / runfile.RUN_FILE),
    )


def _from_config(path: Path | None, verb: str) -> FoundRack:
    document = load(path)
    document.require_known(TABLES)
    known = access_of(document, path) if path else None
    if known:
        # The file's own credentials are those of a service; here sits a person.
        endpoint = known.local_endpoint(known.commander(verb))
    else:
        endpoint = credentials.endpoint(document.table("broker", BrokerSettings))
    return FoundRack(
        topics=Topics(document.table("rack", RackSettings).name),
        endpoint=endpoint,
        run=None,
        source=str(path) if path else "options",
    )


def _with_options(found: FoundRack, args: argparse.Namespace) -> FoundRack:
    """Puts single options in the place of what was found."""
    given = {
        name: value
        for name in ("host", "port", "ca_file")
        if (value := getattr(args, name)) is not None
    }
    if args.credentials:
        secret = credentials.read(args.credentials)
        given |= {
            "username": secret.username,
            "password": secret.password,
            "client_id": secret.client_id,
        }
    topics = Topics(args.rack) if args.rack else found.topics
    endpoint = msgspec.structs.replace(found.endpoint, **given)
    return msgspec.structs.replace(found, topics=topics, endpoint=endpoint)


async def connect(rack: FoundRack) -> Connect:
    """Returns what makes links, after one attempt that says why there can be none.

    Raises:
        ConfigError: The certificate authority cannot be read.
        LinkError: There is no broker, or it refuses us.
    """
    try:
        await check_connection(rack.endpoint)
    except LinkRefusedError as error:
        user = rack.endpoint.username or "none"
        text = f"{error}. Are user ({user}) and password right? {SEE_DOCTOR}"
        raise LinkRefusedError(text, version=error.version) from error
    except LinkError as error:
        text = f"{error}. Is the broker running there? {SEE_DOCTOR}"
        raise LinkError(text) from error
    return connector(rack.endpoint)
