"""``pirack-agent``: report this machine and obey orders, on the base install alone."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec

from broker import VERSION
from broker.common import service
from broker.common.config import BrokerSettings, Document, RackSettings
from broker.common.errors import ConfigError, PiRackError
from broker.contract.topics import Topics
from broker.mosquitto.credentials import endpoint
from node_agent import actions, command_file, identity, report
from node_agent.actions import ProbedActions, probe
from node_agent.board import Board
from node_agent.node import Node
from node_agent.order_memory import FILE_NAME, OrderMemory, volatile_file
from node_agent.runner import SubprocessRunner
from node_agent.settings import AgentSettings
from node_agent.vitals import LinuxBoard

if TYPE_CHECKING:
    import argparse


@contextlib.contextmanager
def _without_proxies() -> Iterator[None]:
    """Replaces ``urllib.request`` by an empty module while paho is imported.

    paho imports it, and with it ``http``, ``email`` and compression, for one thing: to
    find a proxy when PySocks is installed. That is 1.3 MB, a tenth of the agent.
    Afterwards the real one can be imported as usual.
    """
    name = "urllib.request"
    if name in sys.modules or importlib.util.find_spec("socks") is not None:
        yield
        return
    sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


with _without_proxies():
    from broker.client.mqtt_link import connector

log = logging.getLogger(__name__)

HELP = "report this machine and obey orders"

DESCRIPTION = """\
Report this machine's vitals and obey the orders of the rack's master.

  pirack-agent --once                 show what would be reported; needs no broker
  pirack-agent --host 10.0.0.1        report to the broker on the master's Pi
  pirack-agent --config pirack.toml   the same, as a service does
"""

EPILOG = """\
what it says (P is pirack/v1/<rack>, <id> comes from the board's serial)
  P/node/<id>/status      online or offline, retained; offline also when it dies
  P/node/<id>/details     board, addresses, system, abilities; retained
  P/node/<id>/heartbeat   vitals, every interval
  P/node/<id>/result      how an order went

what it obeys
  ping, refresh, run, restart-agent, and the aliases of its command files: the
  built-in one (temperature, uptime, identify, reboot, shutdown, update ...) and
  your own, named with --commands. An alias that cannot work here is not offered.

It waits for the network and the broker for as long as that takes, and writes
nothing to disk but the id of an order that interrupts it or the machine.
"""

OPTIONS = {
    "agent": ("id", "interval_s", "commands", "state_dir"),
    "rack": ("name",),
    "broker": ("host", "port", "credentials"),
}
"""Which keys of which table an option of the same name overrides."""

_SETTLE_S = 0.5
"""What ``--once`` waits for: a share of processor time needs two readings."""

Execute = Callable[[str, list[str]], object]
"""Puts a program in the place of this process: ``os.execv``."""

SYSTEMD_EXEC_PID = "SYSTEMD_EXEC_PID"
"""Set by systemd 248 and later to the process id of what it started; a terminal that
a service opened inherits it, so it says something only to the process it names."""


class Restart:
    """Restarts the agent by an order; that takes no privilege.

    Under systemd it only ends: the unit has ``Restart=always``, and what systemd starts
    is fresh in every respect. Anywhere else (``pirack up``, a terminal, a container)
    perhaps nothing would start it again, so it puts its own program in its place, with
    its process id.

    Args:
        end: Asks the service to end, as SIGTERM does.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        execute: Execute = os.execv,
        end: Callable[[], None] = lambda: signal.raise_signal(signal.SIGTERM),
    ) -> None:
        self.ordered = False
        """Whether the end that follows is a restart."""
        self._environ = environ
        self._execute = execute
        self._end = end

    def order(self) -> None:
        """Stops the service; ``carry_out`` does the rest."""
        self.ordered = True
        self._end()

    def carry_out(self) -> None:
        """Starts the program again if that was ordered and systemd does not do it."""
        if self.ordered and self._environ.get(SYSTEMD_EXEC_PID) != str(os.getpid()):
            self._execute(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """Adds the agent's options."""
    import argparse  # noqa: PLC0415  # see ``as_a_service``

    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--once",
        action="store_true",
        help="print details and one heartbeat as JSON and end; needs no broker",
    )
    agent = parser.add_argument_group("options that override [agent]")
    agent.add_argument("--id", help="node id (default: from the board's serial)")
    agent.add_argument(
        "--interval",
        dest="interval_s",
        type=float,
        metavar="SECONDS",
        help="between heartbeats (default: 10)",
    )
    agent.add_argument(
        "--commands", metavar="FILE", help=".ini file of aliases of your own"
    )
    agent.add_argument(
        "--state-dir", metavar="DIR", help="where ids of destructive orders are kept"
    )
    rest = parser.add_argument_group("options that override [rack] and [broker]")
    rest.add_argument("--rack", dest="name", metavar="NAME", help="name of the rack")
    rest.add_argument("--host", help="the broker's name or address")
    rest.add_argument("--port", type=int, help="the broker's TCP port")
    rest.add_argument(
        "--credentials", metavar="FILE", help="JSON file with username and password"
    )
    service.add_common(parser)


def as_a_service(words: Sequence[str]) -> SimpleNamespace | None:
    """Returns the options of ``--config FILE`` and nothing else; None for any other.

    That is how units start the agent, and it needs no argparse, which with all that it
    imports is 0.7 MB for as long as the agent lives.
    """
    if len(words) != 2 or words[0] != "--config":  # noqa: PLR2004  # option and value
        return None
    unset = dict.fromkeys(key for keys in OPTIONS.values() for key in keys)
    given = {"config": Path(words[1]), "once": False}
    return SimpleNamespace(**service.COMMON | unset | given)


def run(args: service.Given) -> int:
    """Runs the agent until it is told to end; returns the exit code.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = service.overlaid(service.load_common(args), args, OPTIONS)
    settings = document.table("agent", AgentSettings)
    board = LinuxBoard(temperature=settings.temperature)
    if args.once:
        shown = _own_id(settings, document, keep=False)
        return asyncio.run(_show(shown, board, settings, _own_address(document)))
    node_id = _own_id(settings, document)
    restart = Restart()
    code = service.run(_node(node_id, board, settings, document, restart))
    restart.carry_out()
    return code


def main() -> None:
    """Runs the ``pirack-agent`` command."""
    words = sys.argv[1:]
    try:
        sys.exit(run(as_a_service(words) or service.parse(parser(), words)))
    except PiRackError as error:
        print(f"pirack-agent: {error}", file=sys.stderr)
        code = service.EXIT_FAILED
        sys.exit(service.EXIT_CONFIG if isinstance(error, ConfigError) else code)


def parser() -> "argparse.ArgumentParser":
    """Returns the parser of ``pirack-agent``."""
    import argparse  # noqa: PLC0415  # see ``as_a_service``

    made = argparse.ArgumentParser(prog="pirack-agent", allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"pirack {VERSION}")
    add_arguments(made)
    return made


def _node(
    node_id: str,
    board: Board,
    settings: AgentSettings,
    document: Document,
    restart: Restart,
) -> Node:
    loaded, wrong = _actions(settings)
    return Node(
        node_id,
        board=board,
        actions=loaded,
        wrong=wrong,
        runner=SubprocessRunner(),
        connect=connector(endpoint(document.table("broker", BrokerSettings))),
        topics=Topics(document.table("rack", RackSettings).name),
        interval_s=settings.interval_s,
        memory=OrderMemory.load(
            settings.state_directory() / FILE_NAME, volatile_file()
        ),
        at_once=settings.at_once,
        restart=restart.order,
    )


def _actions(settings: AgentSettings) -> tuple[actions.Actions, dict[str, str]]:
    """Returns what this node obeys, and what is wrong with its own command file.

    Without the built-in commands a board whose card is failing could not be rebooted.
    """
    own = settings.command_file()
    damage = command_file.damage(own) if own is not None else ""
    if damage:
        log.error("%s; only the built-in commands are known", damage)
    loaded = actions.load(None if damage else own)
    wrong = {"commands": damage} if damage else {}
    return actions.withhold(loaded, settings.withheld), wrong


class _Report(msgspec.Struct, frozen=True):
    """What ``--once`` prints."""

    id: str
    details: msgspec.Raw
    heartbeat: msgspec.Raw
    not_offered: dict[str, str]


async def _show(
    node_id: str, board: Board, settings: AgentSettings, address: str
) -> int:
    """Prints what the agent would publish.

    Args:
        address: Of this machine toward the broker; may be empty.
    """
    loaded, _ = _actions(settings)
    probed = await probe(loaded, SubprocessRunner())
    await asyncio.sleep(_SETTLE_S)
    text = msgspec.json.encode(_once(node_id, board, settings, probed, address))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as `head` goes away
    print(msgspec.json.format(text, indent=2).decode())
    return service.EXIT_OK


def _once(
    node_id: str,
    board: Board,
    settings: AgentSettings,
    probed: ProbedActions,
    address: str,
) -> _Report:
    now, facts = board.wall_time(), board.facts()
    addresses = report.reaching(address, facts.addresses)
    details = report.details(
        msgspec.structs.replace(facts, addresses=addresses),
        session="none",
        interval_s=settings.interval_s,
        abilities=probed.abilities,
        unprobed=probed.unanswered,
        ts=now,
    )
    beat = report.heartbeat(board.vitals(), session="none", seq=1, ts=now, extra={})
    return _Report(
        node_id,
        msgspec.Raw(msgspec.json.encode(details)),
        msgspec.Raw(msgspec.json.encode(beat)),
        dict(probed.obstacles),
    )


def _own_address(document: Document) -> str:
    """Returns the address from which a broker given by its address is reached.

    Nothing is sent: connecting a datagram socket only asks the routing table.
    """
    broker = document.table("broker", BrokerSettings)
    if not report.is_address(broker.host):
        return ""
    family = socket.AF_INET6 if ":" in broker.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((broker.host, broker.port))
        except OSError:
            return ""
        return str(asked.getsockname()[0])


def _own_id(settings: AgentSettings, document: Document, *, keep: bool = True) -> str:
    """Returns the id of this machine.

    Args:
        keep: Make one at random and keep it where the hardware gives none.

    Raises:
        ConfigError: The hardware gives none, and none can be kept.
    """
    if settings.id:
        return settings.id
    try:
        username = endpoint(document.table("broker", BrokerSettings)).username
    except ConfigError:
        username = ""  # where it matters the connection says what is wrong
    kept = settings.state_directory() / identity.KEPT_ID
    found = identity.known_id(Path("/"), kept, username)
    return found or (identity.make_kept(kept) if keep else "")


if __name__ == "__main__":
    main()
