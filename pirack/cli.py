"""The ``pirack`` command: its sub-commands, each imported only when it runs."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from broker import VERSION
from broker.common.errors import ConfigError, PiRackError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED
from pirack import terminal

DESCRIPTION = """\
See, command, power and provision a rack of Raspberry Pis over plain MQTT.

  pirack up                     the whole rack on this machine, page included
  pirack node add pi-1f3a9c2e   let a real Pi join
  pirack send stack/3 ping      a command, with a receipt for each target
  pirack watch                  a live table in the terminal
  pirack install                find, place and address every board
  pirack doctor                 what is wrong, and what to do about it
  pirack backup rack.pirack     all of it in one file, for `pirack restore`
"""

EPILOG = """\
topics (everything above is also a topic; P is pirack/v1/<rack>)
  P/node/<id>/status            online or offline, retained
  P/node/<id>/state             what the master thinks of a node, retained
  P/<target>/cmd/<verb>         ask a node/<name>, stack/<n>, tag/<tag> or the rack
  P/<target>/reply/<verb>       the receipt

exit codes
  0 fine   1 not all is   2 wrong usage   3 configuration   4 broker not reachable

`pirack <command> --help` teaches each. Completion: `pirack completion --help`.
"""


class Module(Protocol):
    """What a sub-command's module has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Does it and returns the exit code."""


class SubCommand(msgspec.Struct, frozen=True):
    """A sub-command that is not imported yet.

    Args:
        name: As typed.
        module: Where it lives.
        summary: A line for the list.
        extra: Extra of the distribution it needs; empty for none.
    """

    name: str
    module: str
    summary: str
    extra: str = ""


COMMANDS = (
    SubCommand("up", "pirack.up.cli", "run the whole rack on this machine", "rack"),
    SubCommand(
        "init", "pirack.init.cli", "set up a rack for good, with system services"
    ),
    SubCommand("node", "pirack.node", "let real Pis join, list and forget them"),
    SubCommand(
        "deploy", "pirack.deployment", "bring the agent to boards over SSH", "rack"
    ),
    SubCommand(
        "seed", "pirack.seed.cli", "prepare cards that join by themselves", "rack"
    ),
    SubCommand("send", "pirack.send", "send a command and print its receipt"),
    SubCommand("watch", "pirack.watch", "show all nodes, live, in the terminal"),
    SubCommand("events", "pirack.events", "show the rack's history, and follow it"),
    SubCommand("install", "pirack.install", "find, place and address every board"),
    SubCommand("power", "pirack.power", "test the relays, with a person who looks"),
    SubCommand("doctor", "pirack.doctor.cli", "check everything and say what to do"),
    SubCommand("backup", "pirack.backup.backup", "write all of a rack into one file"),
    SubCommand(
        "restore", "pirack.backup.restore", "bring a rack back from such a file"
    ),
    SubCommand("agent", "node_agent.cli", "report this machine and obey orders"),
    SubCommand(
        "master", "master_service.cli", "keep the rack: verdicts, commands, events"
    ),
    SubCommand("dashboard", "dashboard.cli", "serve the page", "dashboard"),
    SubCommand("simulate", "node_agent.simulator.cli", "run a rack of invented boards"),
    SubCommand("completion", "pirack.completion", "print completion for your shell"),
)


class Parser(argparse.ArgumentParser):
    """Takes options only in full, and so do the parsers of sub-commands it makes.

    ``--http`` for ``--http-port`` would be wrong usage the day that another option
    begins like it.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # argparse's own
        super().__init__(**{"allow_abbrev": False, **options})


def parser(*, only: str | None = None) -> argparse.ArgumentParser:
    """Returns the command line's parser.

    Args:
        only: Sub-command whose module is imported for its options; None for all.

    Raises:
        ModuleNotFoundError: A dependency of that sub-command is not installed.
    """
    top = Parser(
        prog="pirack",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"pirack {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="<command>", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.summary)
        if only in {None, command.name}:
            fill(sub, command)
    return top


def fill(sub: argparse.ArgumentParser, command: SubCommand) -> None:
    """Imports a sub-command, which adds its options and its help.

    Raises:
        ModuleNotFoundError: A dependency of it is not installed.
    """
    module: Module = importlib.import_module(command.module)
    sub.description = f"{module.HELP[:1].upper()}{module.HELP[1:].rstrip('.')}."
    sub.epilog = getattr(module, "EPILOG", None)
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(sub)
    sub.set_defaults(run=module.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a sub-command and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(words)
        finally:
            # Now: at the exit of the interpreter, too late to catch, a closed pipe is
            # an error. Argparse ends the program after --help, so `finally`.
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough.
        terminal.hush()
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED


def _run(words: list[str]) -> int:
    """Runs the sub-command that the words name; returns its exit code.

    Raises:
        BrokenPipeError: The reader of the output went away.
        KeyboardInterrupt: Ctrl-C.
    """
    chosen = next((word for word in words if not word.startswith("-")), "")
    try:
        args = parser(only=chosen).parse_args(words)
        return int(args.run(args))
    except ModuleNotFoundError as error:
        return _missing(chosen, error)
    except PiRackError as error:
        terminal.complain(f"pirack {chosen}: {error}\n")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except PermissionError as error:
        text = f"{error.filename}: {error.strerror}; be its owner, or use sudo"
        terminal.complain(f"pirack {chosen}: {text}\n")
        return EXIT_CONFIG


def _missing(name: str, error: ModuleNotFoundError) -> int:
    """Prints which extra brings what is not installed.

    Raises:
        ModuleNotFoundError: It is a module of our own: a broken installation.
    """
    command = next((one for one in COMMANDS if one.name == name), None)
    if command is None or not command.extra:
        raise error
    from broker.common.extras import how_to_add  # noqa: PLC0415  # heavy, and seldom needed

    sys.stderr.write(
        f"pirack {name}: {error.name} is not installed; it comes with the extra "
        f"{command.extra!r}: {how_to_add(command.extra)}\n"
    )
    return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main())
