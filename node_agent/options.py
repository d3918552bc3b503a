"""The options of `pirack-agent` and `pirack agent`; imported where they are read."""

import argparse

from broker.common import service
from broker.common.version import VERSION

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


def add(parser: argparse.ArgumentParser) -> None:
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


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pirack-agent``."""
    made = argparse.ArgumentParser(prog="pirack-agent", allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"pirack {VERSION}")
    add(made)
    return made
