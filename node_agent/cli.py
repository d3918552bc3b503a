"""``pirack-agent``: report this machine and obey orders, on the base install alone."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec

from broker.common import service
from broker.common.config import Document
from broker.common.errors import ConfigError, PiRackError
from broker.common.settings import BrokerSettings, RackSettings
from broker.contract.topics import Topics
from broker.mosquitto.credentials import endpoint
from node_agent import actions, command_file, identity, report
from node_agent.abilities import Probed, probe
from node_agent.board import Board
from node_agent.lean import connector
from node_agent.node import Node
from node_agent.order_memory import FILE_NAME, OrderMemory, volatile_file
from node_agent.restart import Restart
from node_agent.settings import AgentSettings
from node_agent.subprocess_runner import SubprocessRunner
from node_agent.vitals import LinuxBoard

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)

HELP = "report this machine and obey orders"

OPTIONS = {
    "agent": ("id", "interval_s", "commands", "state_dir"),
    "rack": ("name",),
    "broker": ("host", "port", "credentials"),
}
"""Which keys of which table an option of the same name overrides."""

_SETTLE_S = 0.5
"""What ``--once`` waits for: a share of processor time needs two readings."""


def add_arguments(parser: "argparse.ArgumentParser") -> None:
    """Add the agent's options."""
    from node_agent import options  # noqa: PLC0415  # see ``as_a_service``

    options.add(parser)


def as_a_service(words: Sequence[str]) -> SimpleNamespace | None:
    """Return the options of ``--config FILE`` and nothing else; None for any other.

    That is how units start the agent, and it needs no argparse, which with all that it
    imports is 0.7 MB for as long as the agent lives.
    """
    if len(words) != 2 or words[0] != "--config":  # noqa: PLR2004  # option and value
        return None
    unset = dict.fromkeys(key for keys in OPTIONS.values() for key in keys)
    given = {"config": Path(words[1]), "once": False}
    return SimpleNamespace(**service.COMMON | unset | given)


def run(args: service.Given) -> int:
    """Run the agent until it is told to end; return the exit code.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = service.overlaid(service.load_common(args), args, OPTIONS)
    settings = document.table("agent", AgentSettings)
    board = LinuxBoard(temperature=settings.temperature)
    if args.once:
        shown = _own_id(settings, document, keep=False)
        return asyncio.run(_show(shown, board, settings, _toward(document)))
    node_id = _own_id(settings, document)
    restart = Restart()
    code = service.run(_node(node_id, board, settings, document, restart))
    restart.carry_out()
    return code


def main() -> None:
    """Be the ``pirack-agent`` command."""
    words = sys.argv[1:]
    try:
        sys.exit(run(as_a_service(words) or _parsed(words)))
    except PiRackError as error:
        print(f"pirack-agent: {error}", file=sys.stderr)
        code = service.EXIT_FAILED
        sys.exit(service.EXIT_CONFIG if isinstance(error, ConfigError) else code)


def _parsed(words: Sequence[str]) -> "argparse.Namespace":
    from node_agent import options  # noqa: PLC0415  # see ``as_a_service``

    return service.parse(options.parser(), words)


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
    """Return what this node obeys, and what is wrong with its own command file.

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
    """Print what the agent would say.

    Args:
        node_id: Its id.
        board: The machine.
        settings: ``[agent]``.
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
    node_id: str, board: Board, settings: AgentSettings, probed: Probed, address: str
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


def _toward(document: Document) -> str:
    """Return the address from which a broker given by its address is reached.

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
    """Return the id of this machine.

    Args:
        settings: ``[agent]``.
        document: The whole configuration.
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
