"""Everything on disk that the parts need, before the first of them starts."""

import platform
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from broker.client.endpoint import Endpoint
from broker.common import config
from broker.common.atomic import replace
from broker.common.errors import CertificateError, ConfigError
from broker.contract.topics import Topics
from broker.mosquitto import certificates, credentials, dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import MosquittoChild, MosquittoConfig, TlsListener
from broker.mosquitto.dynsec import FILE_NAME, BrokerRole, BrokerUser
from broker.mosquitto.program import Mosquitto
from node_agent import identity
from node_agent.vitals import LinuxBoard
from pirack import broker_users, listen, rack_config, toml_writer
from pirack.listen import Listen
from pirack.runfile import Login, MqttAccess, RunFile
from pirack.up import client_tools, part_config, passwords, ports
from pirack.up.part_config import SIMULATOR, Decided
from pirack.up.settings import Options
from pirack.up.startup import Announcement
from pirack.up.supervisor import RackSupervisor, Say

ECHO_PORT = 7007
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # what cannot be connected to
ROOT_WARNING = "should not be run as root"
"""Mosquitto's advice; another user's would not end with us (``die_with_parent``)."""
SUB_COMMANDS = {SIMULATOR: "simulate"}
"""Parts whose sub-command has another name."""
MAX_NAME = 32
_NOT_A_NAME = re.compile(r"[^a-z0-9-]+")


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A rack that only has to be started.

    Args:
        decided: What was asked for, and made of it.
        access: The owner's, to the broker.
        tls: The encrypted listener; None where no Pi can join.
        host: What Pis are told; empty where none can join.
    """

    decided: Decided
    mosquitto: Mosquitto
    access: MqttAccess
    login: Login
    parts: tuple[str, ...]
    tls: TlsListener | None
    host: str

    @property
    def operator(self) -> Endpoint:
        """The broker, signed in as a person."""
        return Endpoint(**msgspec.structs.asdict(self.access))

    @property
    def page_host(self) -> str:
        """Where the page can be reached from here."""
        host = self.decided.options.http_host
        return LOOPBACK.get(host, host)

    @property
    def nodes(self) -> int:
        """How many nodes should come online: the simulated ones and this machine."""
        return len(part_config.places(self.decided.shape)) + 1

    def supervisor(self, say: Say, changed: Callable[[], None]) -> RackSupervisor:
        """Returns broker and parts, not started yet; see ``RackSupervisor``."""
        verbose = self.decided.options.verbose
        plan = MosquittoConfig(
            directory=self.decided.paths.broker,
            plugin=self.mosquitto.plugin,
            port=self.decided.mqtt_port,
            host=self.decided.options.mqtt_host,
            tls=self.tls,
        )

        def hear(line: str) -> None:
            trouble = line.startswith(("Error", "Warning")) and ROOT_WARNING not in line
            if verbose or trouble:
                say(f"[broker] {line}")

        parts = {
            name: (
                SUB_COMMANDS.get(name, name),
                *("--config", str(self.decided.paths.part(name))),
                *("--log-level", "info" if verbose else "warning"),
            )
            for name in self.parts
        }
        broker = MosquittoChild(self.mosquitto, plan, hear)
        return RackSupervisor(broker, parts, say, changed)

    def run_file(self, pids: Mapping[str, int]) -> RunFile:
        """Returns what ``run.json`` says."""
        host = f"[{self.page_host}]" if ":" in self.page_host else self.page_host
        return RunFile(
            rack=self.decided.options.rack,
            url=f"http://{host}:{self.decided.http_port}/",
            login=self.login,
            mqtt=self.access,
            pids=dict(pids),
            tools=str(self.decided.options.data / client_tools.DIRECTORY),
            config=str(self.decided.options.config or ""),
        )

    def announcement(self) -> Announcement:
        """Returns what the person is told."""
        decided, program = self.decided, self.mosquitto.program
        options = decided.options
        moved = (
            ("page", options.http_port, decided.http_port),
            ("broker", options.mqtt_port, decided.mqtt_port),
        )
        return Announcement(
            run=self.run_file({}),
            shape=decided.shape,
            node_name=decided.node_name,
            broker=f"Mosquitto {self.mosquitto.version()}",
            data=options.data,
            publish=client_tools.find("mosquitto_pub", program),
            subscribe=client_tools.find("mosquitto_sub", program),
            pirack=_own_command(options.data),
            moved=tuple(one for one in moved if one[1] != one[2]),
            join=(self.host, self.tls.port) if self.tls else None,
        )


def prepare(options: Options, promises: ports.Promises) -> Prepared:
    """Chooses ports, makes passwords, and writes every file the parts read.

    Args:
        promises: Keeps the ports that are chosen, as long as the rack runs.

    Raises:
        BrokerError: There is no Mosquitto.
        ConfigError: A port, a file or this machine's identity cannot be used.
        OSError: Something cannot be written.
    """
    program = mosquitto.find()
    options.paths.make_directories()
    decided = _decide(options, program, promises)
    if options.listen is None:
        tls, host = None, ""
        decided.paths.enrol.unlink(missing_ok=True)  # of a start that listened
    else:
        tls, host = _tls_listener(options.listen, decided)
    access = _users(decided)
    client_tools.write(options.data, access)
    parts = part_config.documents(decided)
    for name, tables in parts.items():
        replace(decided.paths.part(name), toml_writer.dumps(tables).encode())
    return Prepared(
        decided=decided,
        mosquitto=program,
        access=access,
        login=passwords.page_login(
            decided.paths.credentials("page"), decided.paths.dashboard / "users.json"
        ),
        parts=tuple(parts),
        tls=tls,
        host=host,
    )


def _decide(options: Options, program: Mosquitto, promises: ports.Promises) -> Decided:
    """Chooses free ports, and this machine's id and name."""
    paths = options.paths
    kept = frozenset({options.listen.port} if options.listen else ())
    mqtt_port = ports.choose(options.mqtt_host, options.mqtt_port, promises, taken=kept)
    http_port = ports.choose(options.http_host, options.http_port, promises, taken=kept)
    node = node_id(
        options.tables,
        paths.agent / identity.KEPT_ID,
        before=earlier_id(paths.part(part_config.AGENT)),
    )
    publish = client_tools.find("mosquitto_pub", program.program)
    return Decided(
        options=options,
        mqtt_host=LOOPBACK.get(options.mqtt_host, options.mqtt_host),
        mqtt_port=mqtt_port,
        http_port=http_port,
        echo_port=_echo_port(options, promises),
        node=node,
        node_name=node_name(node, platform.node()),
        paste=client_tools.line(options.data / client_tools.DIRECTORY, publish),
    )


def _echo_port(options: Options, promises: ports.Promises) -> int:
    """Returns where simulated boards answer pings; 0 where the person wants none."""
    wanted = options.tables.get("simulator", {}).get("echo_port", ECHO_PORT)
    if not options.shape.stacks or not wanted:
        return 0
    first = part_config.places(options.shape)[0]
    return ports.choose_echo(first.address, wanted, promises)


def node_id(
    tables: Mapping[str, Any], kept: Path, *, before: str, root: Path = Path("/")
) -> str:
    """Returns this machine's node id: ``[agent] id``, else kept, else from the board.

    Args:
        kept: File of the id, so that it stays when a network card or a container is
            replaced.
        before: The id at an earlier start that did not keep it yet; may be empty.

    Raises:
        ConfigError: The id cannot be kept.
    """
    chosen: str = tables.get("agent", {}).get("id", "")
    if chosen:
        return chosen
    found = identity.read_kept(kept)
    return found or identity.make_kept(kept, before or identity.hardware_id(root))


def earlier_id(part: Path) -> str:
    """Returns the id in the agent's configuration of an earlier start, or ``""``."""
    try:
        found = config.load(part).tables.get("agent", {}).get("id", "")
    except ConfigError:
        return ""
    return found if isinstance(found, str) else ""


def node_name(node: str, hostname: str) -> str:
    """Returns the host's name as the contract allows it, else the id."""
    short = hostname.partition(".")[0].lower()
    return _NOT_A_NAME.sub("-", short).strip("-")[:MAX_NAME].strip("-") or node


def _tls_listener(wanted: Listen, decided: Decided) -> tuple[TlsListener, str]:
    """Makes the certificate, and writes what ``pirack node`` reads.

    Returns:
        What the broker is told, and the name or address that Pis are told.

    Raises:
        ConfigError: The port is taken, or the certificate cannot be made.
        OSError: Something cannot be written.
    """
    paths, options = decided.paths, decided.options
    host, port = wanted.host, wanted.port
    if not ports.is_free(host, port):
        # Unlike the others it never moves: every Pi was told this one.
        text = f"--listen {host}: port {port} is taken; name another: {host}:<port>"
        raise ConfigError(text)
    try:
        names = listen.names(
            wanted, options.names, LinuxBoard().facts().addresses, platform.node()
        )
    except CertificateError as error:
        text = f"--name: {error}"
        raise ConfigError(text) from error
    files = rack_config.certificate_files(paths.secrets, paths.tls)
    try:
        certificates.ensure(files, names, rack=options.rack, now=time.time())
    except CertificateError as error:
        raise ConfigError(str(error)) from error
    tables = {
        "rack": {"name": options.rack},
        "broker": {
            "host": decided.mqtt_host,
            "port": decided.mqtt_port,
            "credentials": str(paths.credentials(decided.node)),
        },
        "enrol": {
            "host": names[0],
            "port": port,
            "secrets": str(paths.secrets),
            "tls": str(paths.tls),
            "dynsec": str(paths.broker / FILE_NAME),
        },
    }
    replace(paths.enrol, toml_writer.dumps(tables).encode())
    listener = TlsListener(
        port=port, certificate=files.certificate, key=files.key, host=host
    )
    return listener, names[0]


def _users(decided: Decided) -> MqttAccess:
    """Gives everybody a password, tells the broker, and returns the owner's access.

    The owner of a rack that runs from a terminal is its admin, as on the page.
    """
    paths = decided.paths
    ours = {SIMULATOR: BrokerRole.SIMULATOR, decided.node: BrokerRole.NODE}
    users = [
        passwords.mqtt_user(paths.credentials(name), name, role)
        for name, role in (passwords.ROLES | ours).items()
    ]
    simulated = passwords.node_passwords(
        paths.simulated, (one.id for one in part_config.places(decided.shape))
    )
    users += [
        BrokerUser(
            name=name,
            password=password,
            role=BrokerRole.NODE,
            client_id=credentials.derive_client_id(name, password),
        )
        for name, password in simulated.items()
    ]
    users += broker_users.added(paths.secrets, {user.name for user in users})
    dynsec.merge(paths.broker, users, Topics(decided.options.rack))
    secret = next(user.password for user in users if user.name == rack_config.ADMIN)
    return MqttAccess(
        host=decided.mqtt_host,
        port=decided.mqtt_port,
        username=rack_config.ADMIN,
        password=secret,
    )


def _own_command(data: Path) -> str:
    """Returns how this very ``pirack`` is called, with its data directory if needed."""
    installed = Path(sys.executable).parent / "pirack"
    command = "pirack" if shutil.which("pirack") == str(installed) else str(installed)
    if data == Path.cwd() / ".pirack":
        return shlex.quote(command)
    return f"PIRACK_DATA={shlex.quote(str(data))} {shlex.quote(command)}"
