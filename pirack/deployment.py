"""``pirack deploy``: bring the agent to boards over SSH, and wait until each speaks."""

import argparse
import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from broker.client.link import Subscription
from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import ConfigError, LinkError, PiRackError
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_NO_BROKER,
    EXIT_OK,
    EXIT_USAGE,
)
from broker.contract.messages import NodeState, Status
from broker.contract.topics import NodeLeaf
from broker.contract.verbs import Verb
from pirack import (
    broker_users,
    deploy_targets,
    distribution,
    option_types,
    rack_config,
    terminal,
)
from pirack.deploy_packer import BoardPacker
from pirack.deploy_view import DeployLog, DeployPicture, report_line, summary
from pirack.enrolment import NotLetInError, command_node, know, receipt_error
from pirack.rack_client import RackClient
from pirack.rack_config import OPERATOR, SEE_DOCTOR, RackAccess
from pirack.screen import is_redrawable
from provisioning.deploy.deployer import DeployContext, Deployer, DeployPace
from provisioning.deploy.report import SSH_PORT, DeployStep, Report, Target, Trouble
from provisioning.deploy.wheels import WheelSupply

if TYPE_CHECKING:
    from provisioning.deploy.ssh import HostKeys

HELP = "bring the agent to boards over SSH, and wait until each has spoken"

EPILOG = """\
examples
  pirack deploy 192.168.23.11 192.168.23.12      boards at these addresses
  pirack deploy s03n2 --user admin --key ~/.ssh/id_ed25519
  pirack deploy --stack 3                        all of one stack
  pirack deploy --all --dry-run                  look, say what would be done
  pirack deploy --all                            again is the way to upgrade
  pirack deploy --print-key                      for authorized_keys of the boards
  pirack deploy --forget-key s01n2               a new card has a new host key

Each board gets a password and a role of its own on the broker, as by `pirack node add`,
the package that runs here, its configuration and its service. What is there already
stays, so again is fine: a board that has all of it is left alone and only heard. Names
are those of an install run (s03n2) and of the rack; anything else is an address.

A board's host key is kept at first sight; one that changes is refused. The boards need
Raspberry Pi OS 12 or newer, our key for a user who may use sudo without a password, and
a package index, or --wheelhouse: docs/provisioning.md.

exit codes
  0 each has spoken   1 not all have   2 wrong usage   3 configuration, files
  4 the broker cannot be used
"""

MOST_PARALLEL = 32
WHICH = "say which boards: names or addresses, or --all, or --stack N"

SETTLE_S = 3.0
"""How long what is retained may take to come."""
SELDOM_S = 15.0
"""A board that beats less often is believed when it says ``online``."""
_INSTALLED = frozenset({DeployStep.DONE, DeployStep.UNCHANGED})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack deploy`` takes."""
    which = parser.add_argument_group("which boards")
    which.add_argument(
        "board", nargs="*", help="name, id, or address (host, host:port)"
    )
    which.add_argument("--all", action="store_true", help="all that are known")
    which.add_argument(
        "--stack", type=option_types.stack, metavar="N", help="those of one stack"
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--parallel",
        type=option_types.whole("number of boards", 1, MOST_PARALLEL),
        default=DeployPace().parallel,
        metavar="N",
        help="boards at the same time (default: 4)",
    )
    how.add_argument("--user", default="pi", help="who we are there (default: pi)")
    how.add_argument(
        "--key", type=Path, metavar="FILE", help="private key (default: our own)"
    )
    how.add_argument(
        "--ssh-port",
        type=option_types.port,
        default=SSH_PORT,
        metavar="N",
        help="default: 22",
    )
    how.add_argument(
        "--wheel", type=Path, metavar="FILE", help="package (default: what runs here)"
    )
    how.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        help="wheels of paho-mqtt, psutil and msgspec for boards without internet",
    )
    how.add_argument(
        "--deadline",
        type=option_types.seconds,
        default=DeployPace().deadline_s,
        metavar="SECONDS",
        help="for one attempt at one board; there are two (default: 120)",
    )
    how.add_argument(
        "--dry-run", action="store_true", help="look at the boards, change nothing"
    )
    how.add_argument("--plain", action="store_true", help="lines instead of a table")
    instead = parser.add_argument_group("instead")
    instead.add_argument(
        "--print-key", action="store_true", help="print our public key and end"
    )
    instead.add_argument(
        "--forget-key", action="store_true", help="drop the host keys of the boards"
    )
    rack_config.add_options(parser, broker=False)


def run(args: argparse.Namespace) -> int:
    """Does it and returns the exit code.

    Raises:
        ModuleNotFoundError: asyncssh is not installed.
        PiRackError: The rack, its broker or a file does not allow it.
    """
    from provisioning.deploy import ssh  # noqa: PLC0415  # asyncssh, an extra

    try:
        access = rack_config.find_access(args)
        if args.print_key:
            print(ssh.public_line(ssh.own_key(access.install_directory())))
            return EXIT_OK
        if bool(args.board) + args.all + (args.stack is not None) != 1:
            return _fail(WHICH, EXIT_USAGE)
        distribution.check_packages(args.wheel, args.wheelhouse)
        return asyncio.run(deploy(args, access))
    except LinkError as error:
        return _fail(f"{error}. Does the rack run? {SEE_DOCTOR}", EXIT_NO_BROKER)
    except OSError as error:
        return _fail(terminal.reason(error), EXIT_CONFIG)


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack deploy: {text}\n")
    return code


async def deploy(args: argparse.Namespace, access: RackAccess) -> int:
    """Brings the agent to the boards that are meant; returns the exit code.

    Args:
        args: Of the command line.
        access: The rack.

    Raises:
        PiRackError: The rack, its broker or a file does not allow it.
        OSError: A file cannot be written.
    """
    from provisioning.deploy.ssh import FILE_NAME, HostKeys  # noqa: PLC0415  # asyncssh, an extra

    endpoint, topics = access.local_endpoint(OPERATOR), access.topics
    await check_connection(endpoint)
    leaves = {
        NodeLeaf.DETAILS: 1,
        NodeLeaf.STATUS: 1,
        NodeLeaf.STATE: 1,
        NodeLeaf.HEARTBEAT: 0,
    }
    hears = [Subscription(topics.node("+", leaf), qos) for leaf, qos in leaves.items()]
    client = RackClient(connector(endpoint), topics, name="deploy", hears=hears)
    async with client:
        await client.settle(SETTLE_S)
        states = client.picture.nodes
        chosen = _chosen(args, access, client)
        host_keys = HostKeys(access.install_directory() / FILE_NAME)
        if args.forget_key:
            return _forget(host_keys, chosen)
        packer = BoardPacker(
            access, states, wheel=args.wheel, wheelhouse=args.wheelhouse
        )
        context = _context(args, access, host_keys, packer, AgentWaiter(client))
        live = is_redrawable() and not args.plain
        with DeployPicture() if live else DeployLog() as progress:
            done = await Deployer(context).deploy(chosen, progress)
        reports, notes = await place_boards(access, states, done)
        notes += await _bind(access, reports, packer)
    for report in reports:
        if report.trouble is Trouble.NOT_JOINED:
            terminal.say(report_line(report))
    for note in notes:
        terminal.say(f"note: {note}")
    print(summary(reports))
    return EXIT_OK if all(report.fine for report in reports) else EXIT_FAILED


def _chosen(
    args: argparse.Namespace, access: RackAccess, client: RackClient
) -> tuple[Target, ...]:
    """Returns the boards that are meant.

    Raises:
        ConfigError: There is none, or one cannot be meant.
    """
    own, picture = access.own_node, client.picture
    places = deploy_targets.found_places(access.install_directory())
    known = deploy_targets.merge(
        deploy_targets.from_places(places, picture.details, args.ssh_port),
        deploy_targets.from_rack(picture.details, picture.nodes, args.ssh_port),
        own=own,
    )
    note = deploy_targets.left_out(own, picture.nodes, stack=args.stack)
    if note and not args.board:
        terminal.say(note)
    refused = deploy_targets.not_meant(
        args.board, picture.details, picture.nodes, own=own
    )
    if text := "; ".join(refused):
        raise ConfigError(text)
    return deploy_targets.choose(
        known, args.board, stack=args.stack, port=args.ssh_port
    )


async def _bind(
    access: RackAccess, reports: Iterable[Report], packer: BoardPacker
) -> list[str]:
    """Binds boards to the client ids they got; returns what did not work."""
    fine = [report.node for report in reports if report.fine]
    try:
        for node in fine:
            if node in packer.renamed:
                await broker_users.bind(access, packer.renamed[node])
    except (PiRackError, OSError) as error:
        return [f"client ids are still those of an earlier release: {error}"]
    return []


def _context(
    args: argparse.Namespace,
    access: RackAccess,
    host_keys: "HostKeys",
    packer: BoardPacker,
    agents: "AgentWaiter",
) -> DeployContext:
    from provisioning.deploy import ssh  # noqa: PLC0415  # asyncssh, an extra

    directory = access.install_directory()
    key = ssh.read_key(args.key) if args.key else ssh.own_key(directory)
    mine = args.key or directory / ssh.KEY_NAME
    advice = (
        f"the key is {mine}. Put the line of `pirack deploy --print-key` into "
        f"~{args.user}/.ssh/authorized_keys there, or name another with --key or --user"
    )
    return DeployContext(
        connect=ssh.Ssh(
            args.user, (key,), host_keys, advice=advice, pin=not args.dry_run
        ),
        packer=packer,
        agents=agents,
        wheels=WheelSupply(packer.wheels) if packer.wheels else None,
        user=args.user,
        pace=DeployPace(parallel=args.parallel, deadline_s=args.deadline),
        dry=args.dry_run,
    )


def _forget(host_keys: "HostKeys", chosen: tuple[Target, ...]) -> int:
    gone = [target for target in chosen if host_keys.forget(target.where)]
    for target in gone:
        print(f"{target.label}: its host key is forgotten; the next one is kept")
    if not gone:
        print("no host key of these boards is kept")
        return EXIT_FAILED
    return EXIT_OK


class AgentWaiter:
    """Waits for the first words of agents.

    Args:
        client: Hears details, status and heartbeats of the nodes.
    """

    def __init__(self, client: RackClient) -> None:
        self._client = client
        self._details = client.picture.details

    @property
    def deaf(self) -> str:
        """Why no agent can be heard now; empty while they can."""
        trouble = self._client.trouble
        return f"the broker is away: {trouble}" if trouble else ""

    def session(self, node: str) -> str:
        """Returns the session a node spoke of last; empty: it never did."""
        known = self._details.get(node)
        return known.session if known else ""

    async def newborn(self, node: str, *, after: str) -> str:
        """Waits for the details of another session; returns the agent's version."""
        await self._client.wait_for(lambda: self.session(node) not in {"", after})
        return self._details[node].agent_version

    async def alive(self, node: str) -> str:
        """Waits for a heartbeat from now on; returns the agent's version."""
        beats = self._client.picture.heartbeats
        before = beats.get(node)
        await self._client.wait_for(
            lambda: (
                node in self._details
                and (beats.get(node) is not before or self._beats_seldom(node))
            )
        )
        return self._details[node].agent_version

    def _beats_seldom(self, node: str) -> bool:
        online = self._client.picture.statuses.get(node) == Status.ONLINE
        return online and self._details[node].interval_s > SELDOM_S


def placing_commands(report: Report, state: NodeState | None) -> list[tuple[str, ...]]:
    """Returns the commands that bring a board's name and place to the rack; pure.

    What the master has already stays: a person may have given it since the install run
    (docs/decisions/who-names-a-board.md).

    Args:
        report: What came of it.
        state: What the master thinks of it.
    """
    target = report.target
    if report.step not in _INSTALLED or target.stack is None or target.slot is None:
        return []
    commands: list[tuple[str, ...]] = []
    if target.name and (state is None or state.name == report.node):
        commands.append((Verb.NAME.value, target.name))
    if state is None or state.stack is None:
        place = (str(target.stack), str(target.slot))
        commands.append((Verb.PLACE.value, *place))
    return commands


async def place_boards(
    access: RackAccess, states: Mapping[str, NodeState], reports: Iterable[Report]
) -> tuple[list[Report], list[str]]:
    """Makes the master know each board that has its agent, its name and its place.

    Args:
        access: The rack.
        states: What the master says of the boards, by node.
        reports: What came of each.

    Returns:
        The reports, of which those failed whose board the master refuses; and what else
        was not done, in words.
    """
    placed, notes = list(reports), list[str]()
    for position, report in enumerate(placed):
        node = report.node
        try:
            if report.step in _INSTALLED and node not in states:
                await know(access, node)
            for verb, *words in placing_commands(report, states.get(node)):
                receipt = await command_node(access, node, verb, *words)
                if not receipt.ok:
                    notes.append(
                        f"{node}: {verb} {' '.join(words)}: {receipt_error(receipt)}"
                    )
        except NotLetInError as error:
            placed[position] = msgspec.structs.replace(
                report,
                step=DeployStep.FAILED,
                trouble=Trouble.NOT_JOINED,
                text=str(error),
            )
        except PiRackError as error:
            notes.append(f"names and places were not told the master: {error}")
            break
    return placed, notes
