"""Everything on disk that the parts need, before the first of them starts."""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Set
from pathlib import Path

import msgspec

from broker.client.endpoint import Endpoint
from broker.common.atomic import replace
from broker.contract.topics import Topics
from broker.mosquitto import credentials, dynsec_file
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import MosquittoChild
from broker.mosquitto.configuration import Plan
from broker.mosquitto.dynsec import Role, User
from broker.mosquitto.program import Mosquitto
from node_agent import identity
from pirack import house
from pirack.node import members
from pirack.runfile import Login, MqttAccess, RunFile
from pirack.up import configure, door, here, passwords, ports, toml, tools
from pirack.up.announce import Announcement
from pirack.up.broker import KeptBroker
from pirack.up.child import Part, Say
from pirack.up.configure import SIMULATOR, Decided
from pirack.up.door import Door
from pirack.up.layout import Layout, layout
from pirack.up.rack import Broker
from pirack.up.settings import Options

ECHO_PORT = 7007
OPERATOR = "operator"
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # what cannot be connected to
ROLES = {
    configure.MASTER: Role.MASTER,
    configure.DASHBOARD: Role.DASHBOARD,
    SIMULATOR: Role.SIMULATOR,
    "dashboard-operator": Role.DASHBOARD_OPERATOR,
    "dashboard-admin": Role.DASHBOARD_ADMIN,
    OPERATOR: Role.OPERATOR,
    "viewer": Role.VIEWER,
    house.ADMIN: Role.ADMIN,
    house.BROKER_ADMIN: Role.BROKER_ADMIN,
}
ROOT_WARNING = "should not be run as root"
"""Mosquitto's advice; another user's would not end with us (``die_with_parent``)."""
SUB_COMMANDS = {SIMULATOR: "simulate"}
"""Parts whose sub-command has another name."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A rack that only has to be started.

    Args:
        options: What was asked for.
        decided: What was made of it.
        mosquitto: The broker's program.
        access: The owner's access to the broker.
        login: For the page.
        names: The parts.
        door: How real Pis come in; None where they cannot.
    """

    options: Options
    decided: Decided
    mosquitto: Mosquitto
    access: MqttAccess
    login: Login
    names: tuple[str, ...]
    door: Door | None = None

    @property
    def operator(self) -> Endpoint:
        """The broker, signed in as a person."""
        access = self.access
        return Endpoint(
            host=access.host,
            port=access.port,
            username=access.username,
            password=access.password,
        )

    @property
    def page_host(self) -> str:
        """Where the page can be reached from here."""
        return LOOPBACK.get(self.decided.http_host, self.decided.http_host)

    @property
    def nodes(self) -> int:
        """How many nodes should come online: the simulated ones and this machine."""
        return len(configure.places(self.decided.shape)) + 1

    def parts(self) -> tuple[Part, ...]:
        """Returns what to run beside the broker."""
        level = "info" if self.options.verbose else "warning"
        return tuple(
            Part(
                name=name,
                arguments=(
                    SUB_COMMANDS.get(name, name),
                    *("--config", str(self.decided.layout.part(name))),
                    *("--log-level", level),
                ),
            )
            for name in self.names
        )

    def broker(self, say: Say, changed: Callable[[], None]) -> Broker:
        """Returns the broker, not started yet."""
        plan = Plan(
            directory=self.decided.layout.broker,
            plugin=self.mosquitto.plugin,
            port=self.decided.mqtt_port,
            host=self.options.mqtt_host,
            tls=self.door.listener if self.door else None,
        )

        def hear(line: str) -> None:
            trouble = line.startswith(("Error", "Warning")) and ROOT_WARNING not in line
            if self.options.verbose or trouble:
                say(f"[broker] {line}")

        return KeptBroker(MosquittoChild(self.mosquitto, plan, hear), say, changed)

    def run_file(self, pids: Mapping[str, int]) -> RunFile:
        """Returns what ``run.json`` says."""
        host = f"[{self.page_host}]" if ":" in self.page_host else self.page_host
        return RunFile(
            rack=self.decided.rack,
            url=f"http://{host}:{self.decided.http_port}/",
            login=self.login,
            mqtt=self.access,
            pids=dict(pids),
            tools=str(self.options.data / tools.DIRECTORY),
            config=str(self.options.config or ""),
        )

    def announcement(self) -> Announcement:
        """Returns what the person is told."""
        decided, options = self.decided, self.options
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
            tools=options.data / tools.DIRECTORY,
            publish=tools.find("mosquitto_pub", self.mosquitto.program),
            subscribe=tools.find("mosquitto_sub", self.mosquitto.program),
            send=_own_command(options.data),
            moved=tuple(one for one in moved if one[1] != one[2]),
            door=self.door,
        )


def prepare(options: Options, promises: ports.Promises) -> Prepared:
    """Chooses ports, makes passwords, and writes every file the parts read.

    Args:
        options: What was asked for.
        promises: Keeps the ports that are chosen, as long as the rack runs.

    Raises:
        BrokerError: There is no Mosquitto.
        ConfigError: A port, a file or this machine's identity cannot be used.
        OSError: Something cannot be written.
    """
    program = mosquitto.find()
    where = layout(options)
    for directory in where.directories():
        directory.mkdir(mode=0o700, exist_ok=True)
    decided = _decide(options, where, program, promises)
    entrance = door.prepare(
        options, where, mqtt_port=decided.mqtt_port, node=decided.node
    )
    access = _users(decided)
    tools.write(options.data, access)
    parts = configure.documents(options.tables, decided)
    for name, tables in parts.items():
        replace(where.part(name), toml.dumps(tables).encode())
    return Prepared(
        options=options,
        decided=decided,
        mosquitto=program,
        access=access,
        login=passwords.page_login(
            where.credentials("page"), where.dashboard / "users.json"
        ),
        names=tuple(parts),
        door=entrance,
    )


def _decide(
    options: Options, where: Layout, program: Mosquitto, promises: ports.Promises
) -> Decided:
    """Turns wishes into facts: free ports, this machine's id and name."""
    kept = frozenset({options.listen.port} if options.listen else ())
    mqtt_port = ports.choose(options.mqtt_host, options.mqtt_port, promises, taken=kept)
    http_port = ports.choose(options.http_host, options.http_port, promises, taken=kept)
    node = here.node_id(
        options.tables,
        kept=where.agent / identity.KEPT_ID,
        before=here.earlier_id(where.part(configure.AGENT)),
    )
    publish = tools.find("mosquitto_pub", program.program)
    return Decided(
        rack=options.rack,
        shape=options.shape,
        layout=where,
        mqtt_host=LOOPBACK.get(options.mqtt_host, options.mqtt_host),
        mqtt_port=mqtt_port,
        http_host=options.http_host,
        http_port=http_port,
        echo_port=_echo_port(options, promises),
        allow_host_power=options.allow_host_power,
        node=node,
        node_name=here.node_name(node),
        paste=tools.line(options.data / tools.DIRECTORY, publish),
    )


def _echo_port(options: Options, promises: ports.Promises) -> int:
    """Returns where simulated boards answer pings; 0 where the person wants none."""
    wanted = options.tables.get("simulator", {}).get("echo_port", ECHO_PORT)
    if not options.shape.stacks or not wanted:
        return 0
    first = configure.places(options.shape)[0]
    return ports.choose_echo(first.address, wanted, promises)


def _users(decided: Decided) -> MqttAccess:
    """Gives everybody a password, tells the broker, and returns the owner's access.

    The owner of a rack that runs from a terminal is its admin, as on the page.
    """
    where = decided.layout
    roles = ROLES | {decided.node: Role.NODE}
    users = [
        passwords.mqtt_user(where.credentials(name), name, role)
        for name, role in roles.items()
    ]
    simulated = passwords.node_passwords(
        where.simulated, (one.id for one in configure.places(decided.shape))
    )
    users += [
        User(
            name=name,
            password=password,
            role=Role.NODE,
            client_id=credentials.derive_client_id(name, password),
        )
        for name, password in simulated.items()
    ]
    users += _added(where.secrets, {user.name for user in users})
    dynsec_file.merge(where.broker, users, Topics(decided.rack))
    secret = next(user.password for user in users if user.name == house.ADMIN)
    return MqttAccess(
        host=decided.mqtt_host,
        port=decided.mqtt_port,
        username=house.ADMIN,
        password=secret,
    )


def _added(secrets: Path, others: Set[str]) -> list[User]:
    """Returns the nodes of `pirack node add`; known also without a listener."""
    return [
        members.as_node(credentials.read(house.node_file(secrets, node)))
        for node in house.added_nodes(secrets)
        if node not in others
    ]


def _own_command(data: Path) -> str:
    """Returns how this very ``pirack`` is called, with its data directory if needed."""
    installed = Path(sys.executable).parent / "pirack"
    command = "pirack" if shutil.which("pirack") == str(installed) else str(installed)
    if data == Path.cwd() / ".pirack":
        return shlex.quote(command)
    return f"PIRACK_DATA={shlex.quote(str(data))} {shlex.quote(command)}"
