"""What ``pirack init`` makes: where, for whom, and with which words; pure."""

import re
from pathlib import Path
from typing import Any

import msgspec

from broker.common.errors import ConfigError
from broker.mosquitto.dynsec import FILE_NAME, BrokerRole
from pirack import rack_config
from pirack.listen import Listen

USERS = {
    "master": BrokerRole.MASTER,
    "dashboard": BrokerRole.DASHBOARD,
    "dashboard-operator": BrokerRole.DASHBOARD_OPERATOR,
    "dashboard-admin": BrokerRole.DASHBOARD_ADMIN,
    rack_config.OPERATOR: BrokerRole.OPERATOR,
    "viewer": BrokerRole.VIEWER,
    rack_config.ADMIN: BrokerRole.ADMIN,
    rack_config.BROKER_ADMIN: BrokerRole.BROKER_ADMIN,
}
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


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A rack to be set up.

    Args:
        rack: Its name.
        listen: The encrypted listener.
        names: By which nodes reach it; they are told the first.
        node: Id of this machine.
        etc: Directory of configuration and secrets.
        state: Directory of certificates and of what the broker keeps.
        owner: User the agent runs as; its group reads the configuration.
        master_owner: User the master runs as.
        dashboard_owner: User the page runs as.
        broker_owner: User Mosquitto runs as.
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

    @property
    def dashboard(self) -> Path:
        """The page's users and sessions."""
        return folders(self.etc, self.state)["dashboard"]

    @property
    def master(self) -> Path:
        """The master's own state; its unit makes it."""
        return folders(self.etc, self.state)["master"]

    @property
    def install(self) -> Path:
        """What an install run keeps; ``deploy/master/install`` makes it."""
        return folders(self.etc, self.state)["install"]

    def reader(self, service: str) -> str | None:
        """Returns the user who must read a service's password; None: root alone."""
        owners = {"master": self.master_owner, "dashboard": self.dashboard_owner}
        return owners.get(service.partition("-")[0])


def tables(plan: Plan) -> dict[str, Any]:
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
        "master": {"data_dir": str(plan.master), "node": plan.node},
        "agent": {"id": plan.node},
        "dashboard": {"data": str(plan.dashboard)},
        # No back end is named, so provisioning is off.
        "install": {"data_dir": str(plan.install), "unit": DHCP_UNIT},
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


def broker_config(shipped: str, plan: Plan, plugin: Path) -> str:
    """Returns the shipped ``mosquitto.conf`` with this rack's paths and listener.

    Args:
        shipped: The annotated file that comes with the package.
        plan: The rack.
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
