"""``pirack simulate``: a rack of invented boards, with faults on demand."""

import argparse
import logging
from collections.abc import Callable, Mapping

import msgspec

from broker.client.endpoint import Endpoint
from broker.client.link import BreakableConnect, Connect
from broker.client.mqtt_link import connector
from broker.common import service
from broker.common.config import BrokerSettings, RackSettings
from broker.contract.topics import Topics
from broker.mosquitto.credentials import derive_client_id, endpoint
from node_agent.simulator.service import SimulatorService
from node_agent.simulator.settings import SIMULATOR, SimulatorSettings

HELP = "run a rack of invented boards"

DESCRIPTION = """\
Run a rack of invented boards: each is the real agent, with vitals made up from a seed.

  pirack simulate                               12 stacks of 4 on the local broker
  pirack simulate --stacks 100 --boards 20      2 000 boards in one process
  pirack simulate --fault 'crash s03n2 for=30 after=10' --fault 'brown-out stack/2'
"""

EPILOG = """\
faults; a target is a node's id or name (s03n2), stack/<n> or rack
  crash          the agent dies without a goodbye, the board lives
  hang           the agent stays connected but says and does nothing
  freeze         the whole board stops, its connection open and silent
  network-cut    no packet in or out; the board is back when the cable is
  brown-out      the supply of a stack fails though its outlet is on
  under-voltage  the firmware complains, now and since boot
  duplicate      a second board with the same id
  slow-boot      the next boots take seconds=30
  clock-skew     the board's clock is wrong by seconds=3600
  heal           ends every fault of the target
Each may have for=<seconds> and after=<seconds>. A reboot or a power cycle ends
crash, hang and freeze too, as it would in a real rack.

while it runs (P is pirack/v1/<rack>)
  mosquitto_pub -t P/sim/cmd/crash -m 's03n2 for=30'    any fault, any time
  mosquitto_sub -t 'P/sim/reply/+'                      the receipts
An outlet that the master switches (P/stack/<n>/state) cuts or boots its boards.
"""

_OPTIONS = {
    "simulator": (
        "stacks",
        "boards",
        "interval_s",
        "seed",
        "boot_s",
        "echo_port",
        "credentials",
        "faults",
    ),
    "rack": ("name",),
    "broker": ("host", "port"),
}
"""Which keys of which table an option of the same name overrides."""

_BOOT_HELP = "how long a boot takes, give or take a fifth (default: 3)"
_ECHO_HELP = (
    "UDP port on which boards answer pings, on 127.77.<stack>.<slot> (default: 7007)"
)
_CHATTY = ("broker.client.mqtt_link", "node_agent.node", "node_agent.order_executor")
"""What an agent says of itself is of interest once, not once for each board."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the simulator's options."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _add_rack(parser.add_argument_group("options that override [simulator]"))
    rest = parser.add_argument_group("options that override [rack] and [broker]")
    rest.add_argument("--rack", dest="name", metavar="NAME", help="name of the rack")
    rest.add_argument("--host", help="the broker's name or address")
    rest.add_argument("--port", type=int, help="the broker's TCP port")
    service.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the simulated rack until it is told to end; returns the exit code.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = service.overlaid(service.load_common(args), args, _OPTIONS)
    if args.log_level != "debug":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)
    settings = document.table("simulator", SimulatorSettings)
    broker = endpoint(document.table("broker", BrokerSettings))
    passwords = settings.passwords()
    rack = SimulatorService(
        settings,
        topics=Topics(document.table("rack", RackSettings).name),
        connect=own_connection(broker, passwords),
        connect_as=board_connections(broker, passwords),
    )
    return service.run(rack)


def board_connections(
    broker: Endpoint, passwords: Mapping[str, str]
) -> Callable[[str], BreakableConnect]:
    """Returns how the node of an id connects.

    Args:
        passwords: By node id; empty for anonymous connections.
    """
    if not passwords:
        shared = connector(_signed_in(broker, "", ""))
        return lambda _: shared

    def connect_as(node: str) -> BreakableConnect:
        secret = passwords[node]
        signed_in = _signed_in(broker, node, secret)
        bound = derive_client_id(node, secret)
        return connector(msgspec.structs.replace(signed_in, client_id=bound))

    return connect_as


def own_connection(broker: Endpoint, passwords: Mapping[str, str]) -> Connect:
    """Returns how the simulator itself connects.

    Args:
        broker: Where it is, and whom to sign in as if the simulator has no password.
        passwords: By node id, and perhaps ``simulator``.
    """
    password = passwords.get(SIMULATOR)
    if password is None:
        return connector(broker)
    return connector(_signed_in(broker, SIMULATOR, password))


def _signed_in(broker: Endpoint, username: str, password: str) -> Endpoint:
    return msgspec.structs.replace(
        broker, username=username, password=password, client_id=""
    )


def _add_rack(group: argparse._ArgumentGroup) -> None:
    """Adds the options for the rack and its faults."""
    for flag, kind, dest, metavar, text in (
        ("--stacks", int, "stacks", "N", "stacks (default: 12)"),
        ("--boards", int, "boards", "N", "boards in a stack (default: 4)"),
        (
            "--interval",
            float,
            "interval_s",
            "SECONDS",
            "between heartbeats (default: 10)",
        ),
        ("--seed", int, "seed", "N", "invents other boards (default: 1)"),
        ("--boot-time", float, "boot_s", "SECONDS", _BOOT_HELP),
    ):
        group.add_argument(flag, type=kind, dest=dest, metavar=metavar, help=text)
    echo = group.add_mutually_exclusive_group()
    echo.add_argument("--echo-port", type=int, metavar="PORT", help=_ECHO_HELP)
    echo.add_argument(
        "--no-echo",
        dest="echo_port",
        action="store_const",
        const=0,
        help="answer no pings",
    )
    group.add_argument(
        "--credentials", metavar="FILE", help="JSON file with a password per node id"
    )
    group.add_argument(
        "--fault",
        dest="faults",
        action="append",
        metavar="'FAULT TARGET …'",
        help="begin with this fault; may be given several times",
    )
