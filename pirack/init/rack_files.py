"""The files of a rack for good: which there are, and putting them in place.

What is there already stays as it is.
"""

import asyncio
import os
import pwd
import re
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from broker.common.atomic import replace
from broker.common.config import Document, load
from broker.common.errors import ConfigError, ControlError, LinkError
from broker.contract.topics import Topics
from broker.mosquitto import certificates, dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.dynsec import FILE_NAME, BrokerRole, BrokerUser
from dashboard.server.users import ensure_admin
from pirack import broker_users, distribution, rack_config, toml_writer
from pirack.listen import Listen
from pirack.rack_config import RackAccess
from pirack.up import passwords

LOCAL_PORT = 1883
CREDENTIALS = "credentials.json"
"""Of this machine's agent, where every node has its own."""
DHCP_UNIT = "pirack-dhcp.service"
BROKER_CONFIG = Path("/etc/mosquitto/pirack.conf")
"""What the system's Mosquitto reads: installed from the rack's own."""
UNITS = Path("/etc/systemd/system")
DROP_IN = "mosquitto.service.d/pirack.conf"
"""Below ``UNITS``: gives the system's Mosquitto our configuration."""
SERVICES = ("pirack-master", "pirack-dashboard", "pirack-agent")
"""What runs on the master's Pi from its first start; all of it is restarted freely."""


def folders(etc: Path, state: Path) -> dict[str, Path]:
    """Returns every folder of a rack that was set up for good, by what it is for.

    Not that of `pirack-powerd`: the levels in it are those of this machine's pins.

    Args:
        etc: Configuration and secrets.
        state: Certificates, and what the broker keeps; the others are beside it.
    """
    services = ("master", "install", "dashboard", "agent")
    beside = {name: state.with_name(f"{state.name}-{name}") for name in services}
    return {"state": state, **beside, "etc": etc}


class InitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A rack to be set up.

    Args:
        names: By which nodes reach it; they are told the first.
        etc: Directory of configuration and secrets.
        state: Directory of certificates and of what the broker keeps.
        owner: BrokerUser the agent runs as; its group reads the configuration.
    """

    rack: str
    listen: Listen
    names: tuple[str, ...]
    node: str
    etc: Path
    state: Path
    owner: str
    master_owner: str
    dashboard_owner: str
    broker_owner: str

    @property
    def config(self) -> Path:
        """The configuration every service reads."""
        return self.etc / "pirack.toml"

    @property
    def secrets(self) -> Path:
        """Passwords and the authority's key."""
        return self.etc / "secrets"

    @property
    def own_credentials(self) -> Path:
        """This machine's agent's, where every node has its own."""
        return self.etc / CREDENTIALS

    @property
    def tls(self) -> Path:
        """Certificates."""
        return self.state / "tls"

    @property
    def broker(self) -> Path:
        """What Mosquitto keeps."""
        return self.state / "mosquitto"

    @property
    def dynsec(self) -> Path:
        """Who may connect."""
        return self.broker / FILE_NAME

    @property
    def broker_config(self) -> Path:
        """Mosquitto's configuration, to be installed where Mosquitto reads it."""
        return self.etc / "mosquitto.conf"

    def folder(self, service: str) -> Path:
        """Returns where a service keeps what is its own."""
        return folders(self.etc, self.state)[service]

    def reader(self, service: str) -> str | None:
        """Returns the user who must read a service's password; None: root alone."""
        owners = {"master": self.master_owner, "dashboard": self.dashboard_owner}
        return owners.get(service.partition("-")[0])


def tables(plan: InitPlan) -> dict[str, Any]:
    """Returns ``pirack.toml``."""
    return {
        "rack": {"name": plan.rack},
        "broker": {
            "host": "127.0.0.1",
            "port": LOCAL_PORT,
            "credentials": str(plan.own_credentials),
        },
        "enrol": {
            "host": plan.names[0],
            "port": plan.listen.port,
            "secrets": str(plan.secrets),
            "tls": str(plan.tls),
            "dynsec": str(plan.dynsec),
        },
        "master": {"data_dir": str(plan.folder("master")), "node": plan.node},
        "agent": {"id": plan.node},
        "dashboard": {"data": str(plan.folder("dashboard"))},
        # No back end is named, so provisioning is off.
        "install": {"data_dir": str(plan.folder("install")), "unit": DHCP_UNIT},
    }


HEAD = """\
# Written by `pirack init`, once; yours to change from here on. Every service of this
# machine reads it. Where the boards stand:
#
#   [rack]  stacks = 12   boards = 4
#   [[node]]  id = "pi-1f3a9c2e"  name = "s03n2"  stack = 3  slot = 2
#
# The page on the whole network: [dashboard] host = "0.0.0.0"
# Boards found and addressed: [install] backend = "dnsmasq"  interface = "eth1"

"""


def broker_config(shipped: str, plan: InitPlan, plugin: Path) -> str:
    """Returns the shipped ``mosquitto.conf`` with this rack's paths and listener.

    Args:
        shipped: The annotated file that comes with the package.
        plugin: The dynamic-security plugin of this machine.

    Raises:
        ConfigError: The shipped file has not the lines that are replaced.
    """
    text = shipped
    every = plan.listen.host if not plan.listen.everywhere else ""
    address = every or ("" if ":" in plan.listen.host else plan.listen.host)
    lines = {
        "plugin": f"plugin {plugin}",
        "plugin_opt_config_file": f"plugin_opt_config_file {plan.dynsec}",
        "listener 8883": f"listener {plan.listen.port} {address}".rstrip(),
        "certfile": f"certfile {plan.tls / 'server.crt'}",
        "keyfile": f"keyfile {plan.tls / 'server.key'}",
        "persistence_location": f"persistence_location {plan.broker}/",
    }
    for key, line in lines.items():
        pattern = rf"^{re.escape(key)}(?= |$).*$"
        text, count = re.subn(pattern, lambda _: line, text, flags=re.MULTILINE)  # noqa: B023  # called at once
        if count != 1:
            error = f"the shipped mosquitto.conf has {count} lines {key!r}, not one"
            raise ConfigError(error)
    return text


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What ``write`` did.

    Args:
        password: Of the page's first user; empty when there were users already.
        notes: What was changed in a broker that was set up before, in words.
    """

    made: tuple[str, ...]
    password: str
    notes: tuple[str, ...] = ()


def write(plan: InitPlan) -> Written:
    """Makes everything that is missing, and brings a broker's users up to date.

    Raises:
        PiRackError: Mosquitto or openssl is missing, or a file is something else.
        OSError: Something cannot be written.
    """
    _require_users(plan)
    program = mosquitto.find()
    made: list[str] = []
    for directory in (plan.etc, plan.secrets, plan.state, plan.tls, plan.broker):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    plan.folder("dashboard").mkdir(mode=0o750, exist_ok=True)
    users = [
        passwords.mqtt_user(plan.secrets / f"{name}.json", name, role)
        for name, role in passwords.ROLES.items()
    ]
    users.append(passwords.mqtt_user(plan.own_credentials, plan.node, BrokerRole.NODE))
    users += broker_users.added(plan.secrets, {user.name for user in users})
    made += _certificate(plan)
    notes = _update_users(plan, users, made)
    shipped = distribution.mosquitto_conf().read_text(encoding="utf-8")
    text = broker_config(shipped, plan, program.plugin)
    made += _keep(plan.broker_config, text, 0o644)
    made += _keep(plan.config, HEAD + toml_writer.dumps(tables(plan)), 0o640)
    login = ensure_admin(plan.folder("dashboard") / "users.json")
    _set_owners(plan)
    return Written(made=tuple(made), password=login or "", notes=notes)


def _require_users(plan: InitPlan) -> None:
    """Checks that the services' users are there before files are given to them.

    Raises:
        ConfigError: One is not, and this is root, who would give them.
    """
    ours = f"sh {distribution.deploy_directory()}/master/install"
    ways_out = {
        plan.owner: ours,
        plan.master_owner: ours,
        plan.dashboard_owner: ours,
        plan.broker_owner: "apt-get install mosquitto",
    }
    for user, way_out in ways_out.items():
        try:
            pwd.getpwnam(user)
        except KeyError as error:
            if os.geteuid() == 0:
                text = f"there is no user {user!r} here; do: sudo {way_out}"
                raise ConfigError(text) from error


def _certificate(plan: InitPlan) -> list[str]:
    files = rack_config.certificate_files(plan.secrets, plan.tls)
    new = certificates.ensure(files, plan.names, rack=plan.rack, now=time.time())
    return [str(files.certificate)] if new else []


def _update_users(
    plan: InitPlan, users: list[BrokerUser], made: list[str]
) -> tuple[str, ...]:
    """Writes the plugin's file once; it is the broker's from then on.

    Later only users, rights and client ids that differ from what this release needs
    are changed: through the running broker, or in the file while it is down.

    Returns:
        What was changed, in words.
    """
    topics = Topics(plan.rack)
    if not plan.dynsec.exists():
        made.append(str(dynsec.write(plan.broker, users, topics)))
        return ()
    source = plan.config if plan.config.exists() else None
    described = load(source) if source else Document(tables(plan))
    found = rack_config.access_of(described, plan.config)
    if found is None:
        return (f"{plan.config} has no [enrol]: the broker's users stay as they are",)
    try:
        changed = asyncio.run(_change(found, users))
    except (LinkError, ControlError) as error:
        return (f"the broker's users could not be brought up to date: {error}",)
    if not changed:
        return ()
    return (
        f"brought up to date in the broker: {', '.join(changed)}",
        "The services must connect again with their new client ids:",
        "  sudo systemctl restart pirack-master pirack-dashboard pirack-agent",
    )


async def _change(found: RackAccess, users: list[BrokerUser]) -> tuple[str, ...]:
    if await broker_users.running(found) is not None:
        return await broker_users.bring_up_to_date(found, users)
    before = found.dynsec.read_bytes()
    dynsec.merge(found.dynsec.parent, users, found.topics)
    return (
        ("its users and their rights",) if found.dynsec.read_bytes() != before else ()
    )


def _keep(path: Path, text: str, mode: int) -> list[str]:
    if path.exists():
        return []
    replace(path, text.encode(), mode=mode)
    return [str(path)]


def _set_owners(plan: InitPlan) -> None:
    """Sets owners and modes: each file is readable only for those who need it."""
    files = rack_config.certificate_files(plan.secrets, plan.tls)
    for path, mode in (
        (plan.etc, 0o750),
        (plan.secrets, 0o750),
        (plan.state, 0o755),
        (plan.tls, 0o755),
        (plan.broker, 0o700),
        (plan.folder("dashboard"), 0o750),
        (files.key, 0o640),
    ):
        path.chmod(mode)
    if os.geteuid() != 0:
        return
    for path in (plan.etc, plan.secrets, plan.config):
        shutil.chown(path, "root", plan.owner)
    shutil.chown(plan.own_credentials, plan.owner, plan.owner)
    for name in passwords.ROLES:
        if reader := plan.reader(name):
            shutil.chown(plan.secrets / f"{name}.json", reader, reader)
    for path in (plan.folder("dashboard"), plan.folder("dashboard") / "users.json"):
        shutil.chown(path, plan.dashboard_owner, plan.dashboard_owner)
    shutil.chown(files.key, "root", plan.broker_owner)
    for path in (plan.broker, plan.dynsec):
        shutil.chown(path, plan.broker_owner, plan.broker_owner)
