"""``pirack node``: add, list, forget."""

import argparse
import asyncio
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker import VERSION
from broker.common.errors import ConfigError, LinkError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_NO_BROKER, EXIT_OK, EXIT_USAGE
from broker.contract.messages import Verdict
from broker.contract.topics import check_name
from pirack import bundle, distribution, enrolment, option_types, rack_config, terminal
from pirack.bundle import read_board_id
from pirack.enrolment import AddedNode, AddRequest
from pirack.screen import span

HELP = "let a real Pi join the rack, list those that may, forget one"

EPILOG = """\
examples
  pirack node add pi-1f3a9c2e --name s03n2 --stack 3 --slot 2
  pirack node add 100000001f3a9c2e          by the board's serial
  pirack node add dc:a6:32:01:02:03         by its MAC address
  pirack node list
  pirack node forget s03n2

`add` gives the board a password and a role of its own on the broker, running or not,
without disturbing anybody, and writes a bundle (configuration, password, the rack's
certificate authority, units) with the lines that bring it to the Pi. Again is fine:
the password stays, unless --renew. `forget` takes all of it back and clears what the
node has on the broker.

The rack must listen on the network: `pirack up --listen 0.0.0.0`, or `pirack init`.

exit codes
  0 fine   1 the broker refused   2 wrong usage   3 configuration, files
  4 the broker cannot be used
"""

HALF_A_PLACE = "a place is both: --stack 3 --slot 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="<action>", required=True)
    one = actions.add_parser("add", help="let a board join; write its bundle")
    one.add_argument("board", help="its id, serial or MAC address")
    option_types.add_board(one)
    one.add_argument(
        "--to", type=Path, metavar="DIR", help="write the bundle below this directory"
    )
    one.add_argument(
        "--at",
        type=Path,
        default=bundle.AT,
        metavar="DIR",
        help="where its files will be on the Pi (default: /etc/pirack)",
    )
    one.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="the package to install there (default: what `make wheel` built, else "
        "the Pi asks its package index)",
    )
    listed = actions.add_parser("list", help="who may join, and how each is")
    gone = actions.add_parser("forget", help="take a node's right to connect")
    gone.add_argument("board", help="its id, serial, MAC address or name")
    for sub in (one, listed, gone):
        rack_config.add_options(sub, broker=False)


def run(args: argparse.Namespace) -> int:
    """Does it and returns the exit code.

    Raises:
        PiRackError: The rack, its broker or a file does not allow it.
    """
    actions = {"add": _add, "list": _list, "forget": _forget}
    try:
        return actions[args.action](args)
    except TopicError as error:
        return _fail(str(error), EXIT_USAGE)
    except LinkError as error:
        return _fail(str(error), EXIT_NO_BROKER)
    except OSError as error:
        return _fail(terminal.reason(error), EXIT_CONFIG)


def _add(args: argparse.Namespace) -> int:
    request = msgspec.structs.replace(
        read_request(args, args.board),
        into=args.to,
        at=args.at,
        wheel=args.wheel or distribution.built_wheel(VERSION),
    )
    for line in lines(enrolment.add(rack_config.find_access(args), request)):
        terminal.say(line)
    return EXIT_OK


def read_request(args: argparse.Namespace, board: str) -> AddRequest:
    """Returns what ``--name``, ``--stack``, ``--slot``, ``--renew``, ``--wheel`` ask.

    Args:
        args: From the command line.
        board: Id, serial or MAC address.

    Raises:
        ConfigError: A place lacks its half, or the wheel is not there.
        TopicError: The name or the board cannot be one.
    """
    if (args.stack is None) != (args.slot is None):
        raise ConfigError(HALF_A_PLACE)
    distribution.check_packages(args.wheel)
    return AddRequest(
        board=read_board_id(board),
        name=check_name(args.name, "name") if args.name else "",
        place=None if args.stack is None else (args.stack, args.slot),
        renew=args.renew,
        wheel=args.wheel,
    )


def lines(added: AddedNode) -> Iterator[str]:
    """Returns what the person is told."""
    node, name = added.request.board.node, added.request.name
    who = f"{name} ({node})" if name else node
    yield f"{who} may join rack {added.rack}."
    yield from (f"  done: {text}" for text in added.done)
    yield from (f"  note: {text}" for text in added.problems)
    yield ""
    yield "Bring its bundle, which holds its password, to the Pi and install it there:"
    yield ""
    yield from (f"  {text}" for text in commands(added.bundle))
    yield ""


def commands(made: Path, *, root: bool = os.geteuid() == 0) -> tuple[str, ...]:
    """Returns lines to paste; ``PI`` stands for the Pi's name or address.

    Args:
        made: The bundle.
        root: Whether it is root who can read the bundle.
    """
    sudo = "sudo " if root else ""
    words = shlex.join(["tar", "-cC", str(made.parent), made.name])
    name = shlex.quote(made.name)
    return (
        f"{sudo}{words} | ssh pi@PI tar -x",
        f"ssh -t pi@PI sudo sh {name}/{bundle.INSTALL}",
    )


def _list(args: argparse.Namespace) -> int:
    found = rack_config.find_access(args)
    wanted = set(found.nodes())
    look = enrolment.look_at_nodes(found, lambda nodes: wanted <= nodes.keys())
    try:
        states, trouble = asyncio.run(look), ""
    except LinkError as error:
        states, trouble = {}, f"{error}; how they are is not known"
    for node in found.nodes():
        state = states.get(node)
        if state is None:
            print(f"{node:<14} {'?' if trouble else 'never seen'}")
            continue
        place = "no place" if state.stack is None else f"{state.stack}/{state.slot}"
        how = "never seen" if state.verdict is Verdict.UNSEEN else state.verdict
        lasted = f" for {span(time.time() - state.since)}" if state.since else ""
        terminal.say(f"{node:<14} {state.name:<14} {place:<9} {how}{lasted}")
    if not found.nodes():
        print("No node was added yet: pirack node add <id, serial or MAC address>")
    if trouble:
        return _fail(trouble, EXIT_NO_BROKER)
    return EXIT_OK


def _forget(args: argparse.Namespace) -> int:
    left = enrolment.forget(rack_config.find_access(args), args.board)
    broker = "and its connection ended" if left.live else "from the next start on"
    print(f"{left.node} may not connect any more, {broker}.")
    for topic in left.cleared:
        terminal.say(f"  cleared {topic}")
    if left.problem:
        terminal.say(f"  note: {left.problem}")
    return EXIT_OK


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack node: {text}\n")
    return code
