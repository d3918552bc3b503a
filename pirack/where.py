"""Which rack a sub-command talks to, and as whom.

In this order: what an option names; ``--config``; the ``run.json`` of a running
``pirack up``. Never a password on a command line: it would be in the process list.
"""

import argparse
from pathlib import Path

import msgspec

from broker.client.endpoint import Endpoint
from broker.client.link import Connect
from broker.common.config import BrokerSettings, Document, RackSettings, load
from broker.common.errors import ConfigError, LinkError, LinkRefusedError
from broker.common.service import TABLES
from broker.contract.topics import Topics
from pirack import house, option_types, runfile
from pirack.runfile import RunFile

SEE_DOCTOR = "See `pirack doctor`"


class NoRackError(ConfigError):
    """Nothing says where a rack is; a person may have to start one."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a sub-command the options that say which rack is meant."""
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


def find(args: argparse.Namespace, verb: str = "") -> Place:
    """Return the rack the options name.

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
        config = house.PRODUCTION if house.PRODUCTION.exists() else None
    if run is None and not (config or args.host or args.credentials):
        text = (
            f"no rack found: no `pirack up` is running on {data}. Start one, name its "
            "directory with --data, or give --config FILE, or --host and --credentials"
        )
        raise NoRackError(text)
    found = _from_run(run, data) if run else _from_config(config, verb)
    return _with_options(found, args)


def running(args: argparse.Namespace) -> tuple[Path, RunFile | None]:
    """Return the data directory meant, and what a ``pirack up`` that runs on it says.

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
    """Return the data directory that a configuration gives ``pirack up``."""
    from pirack.up.settings import UpSettings  # noqa: PLC0415  # needed here only

    try:
        data = load(config).table("up", UpSettings).data
    except ConfigError:
        return None  # said by who reads the file
    return Path(data) if data else None


def _from_run(run: RunFile, data: Path) -> Place:
    access = run.mqtt
    return Place(
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


def _from_config(path: Path | None, verb: str) -> Place:
    document = load(path)
    document.require_known(TABLES)
    known = house.of(document, path) if path else None
    return Place(
        topics=Topics(document.table("rack", RackSettings).name),
        # The file's own credentials are those of a service; here sits a person.
        endpoint=known.inside(known.commander(verb)) if known else _endpoint(document),
        run=None,
        source=str(path) if path else "options",
    )


def _endpoint(document: Document) -> Endpoint:
    from broker.mosquitto.credentials import endpoint  # noqa: PLC0415  # needed here only

    return endpoint(document.table("broker", BrokerSettings))


def _with_options(found: Place, args: argparse.Namespace) -> Place:
    """Put single options in the place of what was found."""
    given = {
        name: value
        for name in ("host", "port", "ca_file")
        if (value := getattr(args, name)) is not None
    }
    if args.credentials:
        settings = BrokerSettings(credentials=str(args.credentials))
        signed = _endpoint(Document({"broker": msgspec.to_builtins(settings)}))
        given |= {
            "username": signed.username,
            "password": signed.password,
            "client_id": signed.client_id,
        }
    topics = Topics(args.rack) if args.rack else found.topics
    endpoint = msgspec.structs.replace(found.endpoint, **given)
    return msgspec.structs.replace(found, topics=topics, endpoint=endpoint)


async def connect(place: Place) -> Connect:
    """Return what makes links, after one attempt that says why there can be none.

    Raises:
        ConfigError: The certificate authority cannot be read.
        LinkError: There is no broker, or it refuses us.
    """
    from broker.client.mqtt_link import check_connection, connector  # noqa: PLC0415  # paho, only when needed

    try:
        await check_connection(place.endpoint)
    except LinkRefusedError as error:
        user = place.endpoint.username or "none"
        text = f"{error}. Are user ({user}) and password right? {SEE_DOCTOR}"
        raise LinkRefusedError(text, version=error.version) from error
    except LinkError as error:
        text = f"{error}. Is the broker running there? {SEE_DOCTOR}"
        raise LinkError(text) from error
    return connector(place.endpoint)
