"""``pirack power test``: walk the outlets one by one with a person."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from broker.client.mqtt_link import connector
from broker.common.config import BrokerSettings, Document, load
from broker.common.errors import ConfigError, TopicError
from broker.common.service import EXIT_FAILED, EXIT_OK, TABLES
from master_service.power import make, wiring
from master_service.power.outlets import PowerError
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows
from master_service.rack.settings import OutletRow, Settings, parse
from pirack import house, pipe, runfile, where
from pirack.power import describe
from pirack.power.running import master_runs
from pirack.power.terminal import Terminal
from pirack.power.walk import Outcome, Walk
from pirack.up.data_directory import DataDirectory

HELP = "test the relays, one by one, with a person who looks"

EPILOG = """\
examples
  pirack power test --dry-run                    only says what it would do
  pirack power test                              every outlet
  pirack power test stack-3                      one
  pirack power test --config pirack.toml         the outlets of that file

It cuts power without shutting the boards down: shut them down first, or pull them.
Each outlet ends as it was found, after Ctrl-C too. It finds a relay on another pin, one
that works the other way round (active_low), and one that does not come back.

While a master runs on the same outlets it refuses. Stop the master, which moves no
relay; or go through it: pirack send stack/3 power cycle. What it notes about the pins
is given to whom the master's folder belongs to, so sudo is fine.

exit codes
  0 every outlet does what it should   1 one does not, or was not tested
  2 wrong usage   3 configuration
"""

INSTEAD = (
    "stop it first, which moves no relay, or go through it: "
    "pirack send stack/3 power cycle"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``pirack power`` takes."""
    actions = parser.add_subparsers(dest="action", metavar="test", required=True)
    test = actions.add_parser(
        "test",
        help=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    test.add_argument("outlets", nargs="*", metavar="OUTLET", help="default: all")
    test.add_argument(
        "--data-dir",
        metavar="DIR",
        help="the master's own, if it was started with that option and another than "
        "[master] data_dir",
    )
    test.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done; no pin, plug or command is touched",
    )
    where.add_options(test)


def run(args: argparse.Namespace) -> int:
    """Test the outlets and return the exit code.

    Raises:
        ConfigError: The configuration or the wiring in it is wrong.
        PowerError: A master is running on the same outlets.
    """
    document = _document(args)
    settings = parse(document)
    rows = _chosen(settings, args.outlets)
    _check(settings)
    if args.dry_run:
        _say(rows, settings)
        return EXIT_OK
    broker = document.table("broker", BrokerSettings)
    outlets = make.here(settings, broker, who="pirack power test")
    asyncio.run(_refuse_beside_a_master(args))
    return _report(asyncio.run(_walk(settings, outlets, rows)), rows)


async def _walk(
    settings: Settings, outlets: make.RackOutlets, rows: Sequence[OutletRow]
) -> list[Outcome]:
    try:
        outlets.lock()
    except PowerError as error:
        text = f"{error}; {INSTEAD}"
        raise PowerError(text) from error
    try:
        return await Walk(settings, outlets, Terminal()).go(rows)
    finally:
        await outlets.close()


async def _refuse_beside_a_master(args: argparse.Namespace) -> None:
    """See on the broker whether a master is running, if there is one to ask.

    The lock says so too, but only to whoever names the master's own folder.

    Raises:
        PowerError: One is running.
    """
    try:
        place = where.find(args)
    except (ConfigError, TopicError) as error:
        pipe.say(f"note: the broker was not asked for a master: {error}")
        return
    runs = await master_runs(connector(place.endpoint), place.topics)
    if runs is None:
        pipe.say(f"note: no broker at {place.broker}: no master was seen")
    if runs:
        text = f"a master of rack {place.topics.rack} is running; {INSTEAD}"
        raise PowerError(text)


def _document(args: argparse.Namespace) -> Document:
    """Return the configuration, with the master's folder as it was started.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    path = _configuration(args)
    document = load(path)
    document.require_known(TABLES)
    if args.data_dir is None:
        return document
    tables = document.tables
    tables["master"] = {**tables.get("master", {}), "data_dir": args.data_dir}
    return Document(tables, str(path))


def _configuration(args: argparse.Namespace) -> Path:
    """Return the file with the outlets: the rack's that the other commands would find.

    Raises:
        ConfigError: There is none.
    """
    if args.config is not None:
        return Path(args.config)
    data = runfile.data_directory(args.data)
    told = DataDirectory(data, "").part("master")
    for path, meant in (
        (told, args.data or runfile.read(data)),
        (house.PRODUCTION, args.data is None),
        (told, True),
    ):
        if meant and path.exists():
            print(f"the outlets of {path}:", flush=True)
            return path
    text = (
        f"no outlets found: {data} has no rack of `pirack up`, and there is no "
        f"{house.PRODUCTION}; give --config FILE"
    )
    raise ConfigError(text)


def _chosen(settings: Settings, names: Sequence[str]) -> list[OutletRow]:
    rows = {row.name: row for row in outlet_rows(settings, layout.stacks(settings))}
    for name in names:
        if name not in rows:
            known = ", ".join(rows) or "none: write [[outlet]] rows"
            text = f"there is no outlet {name!r}; known: {known}"
            raise ConfigError(text)
    if not rows:
        text = "there is no outlet; write [[outlet]] rows, see docs/power.md"
        raise ConfigError(text)
    return [rows[name] for name in names] if names else list(rows.values())


def _check(settings: Settings) -> None:
    """Name every mistake; stop at what nothing may start with.

    Raises:
        ConfigError: Some mistake is fatal.
    """
    found = list(wiring.mistakes(settings))
    for mistake in found:
        if not mistake.fatal:
            print(f"warning: {mistake}", flush=True)
    fatal = [str(mistake) for mistake in found if mistake.fatal]
    if fatal:
        raise ConfigError("\n".join(fatal))


def _say(rows: Sequence[OutletRow], settings: Settings) -> None:
    for row in rows:
        names = describe.boards(row, settings)
        print(f"outlet {row.name} ({describe.wired(row)})")
        print(f"  feeds {describe.fed(row)}{': ' if names else ''}{', '.join(names)}")
        print(f"  {describe.switching(row, on=False)}; asks whether the power is gone")
        print(f"  waits {settings.power.min_off_s:g} s")
        print(f"  {describe.switching(row, on=True)}; asks whether it is back")
    print("nothing was touched (--dry-run)")


def _report(done: Sequence[Outcome], rows: Sequence[OutletRow]) -> int:
    print()
    for one in done:
        print(f"{one.outlet:<18} {'skipped' if one.skipped else one.fault or 'fine'}")
    for row in rows[len(done) :]:
        print(f"{row.name:<18} not tested")
    fine = sum(not one.fault and not one.skipped for one in done)
    return EXIT_OK if fine == len(rows) else EXIT_FAILED
