"""``pirack-agent``: report this machine and obey orders, on the base install alone."""

import argparse
import asyncio
import sys

import msgspec

from broker import service
from broker.config import Document
from broker.credentials import endpoint
from broker.errors import ConfigError, PiRackError
from broker.settings import BrokerSettings, RackSettings
from broker.topics import Topics
from broker.version import VERSION
from node_agent import actions, identity, report
from node_agent.abilities import Probed, probe
from node_agent.board import Board
from node_agent.lean import connector
from node_agent.node import Node
from node_agent.order_memory import FILE_NAME, OrderMemory
from node_agent.restart import Restart
from node_agent.settings import AgentSettings
from node_agent.subprocess_runner import SubprocessRunner
from node_agent.vitals import LinuxBoard

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

_OPTIONS = {
    "agent": ("id", "interval_s", "commands", "state_dir"),
    "rack": ("name",),
    "broker": ("host", "port", "credentials"),
}
"""Which keys of which table an option of the same name overrides."""

_SETTLE_S = 0.5
"""What ``--once`` waits for: a share of processor time needs two readings."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the agent's options."""
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


def run(args: argparse.Namespace) -> int:
    """Run the agent until it is told to end; return the exit code.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = overlaid(service.load_common(args), args)
    settings = document.table("agent", AgentSettings)
    board = LinuxBoard()
    node_id = settings.id or _id_of(board)
    if args.once:
        return asyncio.run(_show(node_id, board, settings))
    restart = Restart()
    code = service.run(_node(node_id, board, settings, document, restart))
    restart.carry_out()
    return code


def main() -> None:
    """Be the ``pirack-agent`` command."""
    parser = argparse.ArgumentParser(prog="pirack-agent", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"pirack {VERSION}")
    add_arguments(parser)
    try:
        sys.exit(run(parser.parse_args()))
    except PiRackError as error:
        print(f"pirack-agent: {error}", file=sys.stderr)
        code = service.EXIT_FAILED
        sys.exit(service.EXIT_CONFIG if isinstance(error, ConfigError) else code)


def overlaid(document: Document, args: argparse.Namespace) -> Document:
    """Return the configuration with the options that were given put over it."""
    tables = document.tables
    for table, keys in _OPTIONS.items():
        given = {key: getattr(args, key) for key in keys}
        chosen = {key: value for key, value in given.items() if value is not None}
        tables[table] = {**tables.get(table, {}), **chosen}
    return Document(tables, str(args.config or "command line"))


def _node(
    node_id: str,
    board: Board,
    settings: AgentSettings,
    document: Document,
    restart: Restart,
) -> Node:
    return Node(
        node_id,
        board=board,
        actions=_actions(settings),
        runner=SubprocessRunner(),
        connect=connector(endpoint(document.table("broker", BrokerSettings))),
        topics=Topics(document.table("rack", RackSettings).name),
        interval_s=settings.interval_s,
        memory=OrderMemory.load(settings.state_directory() / FILE_NAME),
        at_once=settings.at_once,
        restart=restart.order,
    )


def _actions(settings: AgentSettings) -> actions.Actions:
    return actions.withhold(actions.load(settings.command_file()), settings.withheld)


class _Report(msgspec.Struct, frozen=True):
    """What ``--once`` prints."""

    id: str
    details: msgspec.Raw
    heartbeat: msgspec.Raw
    not_offered: dict[str, str]


async def _show(node_id: str, board: Board, settings: AgentSettings) -> int:
    """Print what the agent would say."""
    loaded = _actions(settings)
    probed = await probe(loaded, SubprocessRunner())
    await asyncio.sleep(_SETTLE_S)
    text = msgspec.json.encode(_once(node_id, board, settings, probed))
    print(msgspec.json.format(text, indent=2).decode())
    return service.EXIT_OK


def _once(
    node_id: str, board: Board, settings: AgentSettings, probed: Probed
) -> _Report:
    now = board.wall_time()
    details = report.details(
        board.facts(),
        session="none",
        interval_s=settings.interval_s,
        abilities=probed.abilities,
        ts=now,
    )
    beat = report.heartbeat(board.vitals(), session="none", seq=1, ts=now, extra={})
    return _Report(
        node_id,
        msgspec.Raw(msgspec.json.encode(details)),
        msgspec.Raw(msgspec.json.encode(beat)),
        dict(probed.obstacles),
    )


def _id_of(board: Board) -> str:
    facts = board.facts()
    return identity.node_id(facts.serial, facts.macs)


if __name__ == "__main__":
    main()
