"""``pirack install``: find, place and address every board, and watch it happen."""

import argparse
import asyncio
import importlib.util
import signal
import sys

from broker.common.errors import ConfigError, LinkError, PiRackError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_NO_BROKER, EXIT_USAGE
from broker.contract.verbs import Verb
from pirack import option_types, pipe, where
from pirack.install import request
from pirack.install.conduct import GOES_ON, Conductor
from pirack.install.request import Action, UsageError
from pirack.install.screen import PlainScreen, Screen
from pirack.power.terminal import Terminal
from pirack.where import Place

HELP = "find every board by its power, and give each its place and address"

EPILOG = """\
what it does
  start     cuts the stacks (boards that run shut down first), switches them on one by
            one, hears which boards ask for an address, pins each to stack, slot, name
            and address, and sees that it answers there. It says first what will happen
            and who loses power, and asks. Known boards keep name and address; a board
            in the place of another takes over both.
  status    prints where the run that is under way stands, else the latest one; with
            --follow, shows it until its end
  confirm   lets a run begin that waits for a word, wherever it was started
  cancel    ends it: restore (the outlets as before; the default), leave (as they are)
            or off. Places that were found stay.
  swap      exchanges the boards of two slots, when their lights (`pirack send s03n1
            identify`) say so
  undo      gives the DHCP server its reservations of before the latest run, or of
            before a swap after it, until the next run; once more takes that back. Names
            and places stay: to take back a swap, swap the two again

examples
  pirack install start --dry-run      what would happen, and what stands against it
  pirack install                      start; it asks before anything is switched
  pirack install start --stack 3      one stack only, after a board was exchanged
  pirack install start --yes          begin without asking, for scripts
  pirack install status --follow      show the run until its end
  pirack install cancel off
  pirack install swap s03n1 s03n2

Ctrl-C stops looking; the run goes on, and over a restart of the master, too.

It publishes pirack/v1/<rack>/rack/cmd/install, and reads …/install/state,
…/install/stack/+ and …/event, as
  mosquitto_pub -t pirack/v1/lab/rack/cmd/install -m 'start dry'

exit codes
  0 done   1 problems, failed, refused, not begun, or stopped looking   2 wrong usage
  3 configuration   4 the broker cannot be reached
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack install`` takes."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=[action.value for action in Action],
        default=Action.START.value,
        help="what to do (default: start)",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="word",
        help="cancel: restore, leave or off; swap: the names of two slots",
    )
    parser.add_argument(
        "--stack",
        type=option_types.stack,
        metavar="N",
        help="start: scan this stack only",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="start: only say what would happen"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="start: begin over problems that would stop it, and cut boards that do "
        "not shut down",
    )
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before it begins"
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="do not follow the run; print and end (status does that anyway)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="status: show the run until its end"
    )
    parser.add_argument(
        "--plain", action="store_true", help="no colour, no cursor movement: lines only"
    )
    where.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Do it and return the exit code."""
    try:
        request.require(args, terminal=sys.stdin.isatty())
        return asyncio.run(_run(where.find(args, Verb.INSTALL), args))
    except UsageError as error:
        code, text = EXIT_USAGE, str(error)
    except (ConfigError, TopicError) as error:
        code, text = EXIT_CONFIG, str(error)
    except LinkError as error:
        code, text = EXIT_NO_BROKER, str(error)
    except PiRackError as error:
        code, text = EXIT_FAILED, str(error)
    except KeyboardInterrupt:  # before there was a loop to hear it
        code, text = EXIT_FAILED, GOES_ON
    pipe.complain(f"pirack install: {text}\n")
    return code


async def _run(place: Place, args: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    conductor = Conductor(
        await where.connect(place),
        place.topics,
        args,
        person=Terminal(),
        screen=lambda: _screen(plain=args.plain),
        ended=ended,
    )
    return await conductor.go()


def _screen(*, plain: bool) -> Screen:
    coloured = sys.stdout.isatty() and importlib.util.find_spec("rich") is not None
    if plain or not coloured:
        return PlainScreen()
    from pirack.install.screen_rich import RichScreen  # noqa: PLC0415  # an extra

    return RichScreen()
