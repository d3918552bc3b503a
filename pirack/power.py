"""``pirack power test``: test the outlets one by one with a person who looks."""

import argparse
import asyncio
import enum
import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from broker.client.link import Connect
from broker.client.mqtt_link import connector
from broker.common.config import BrokerSettings, Document, load
from broker.common.errors import ConfigError, LinkError, TopicError
from broker.common.service import EXIT_FAILED, EXIT_OK, TABLES
from broker.contract.messages import Power, Status
from broker.contract.topics import Topics
from master_service.power import rack_outlets, wiring
from master_service.power.drivers.gpio import RelayWiring
from master_service.power.drivers.mqtt import resolve
from master_service.power.outlets import Outlets, PowerError
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows
from master_service.rack.settings import OutletRow, Settings, parse
from pirack import rack_config, runfile, terminal
from pirack.rack_client import RackClient
from pirack.terminal import LineReader

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

CONNECT_S = 3.0
LISTEN_S = 0.5
"""How long a retained status may take to come."""
INSTEAD = (
    "stop it first, which moves no relay, or go through it: "
    "pirack send stack/3 power cycle"
)


class YesNoQuit(enum.StrEnum):
    """An answer to ``[y/n/q]``."""

    YES = "y"
    NO = "n"
    QUIT = "q"


class OutletOutcome(msgspec.Struct, frozen=True):
    """Result of the test of one outlet.

    Args:
        outlet: Its name.
        fault: What is wrong, in words; empty: nothing.
        skipped: Whether the person chose not to test it.
    """

    outlet: str
    fault: str = ""
    skipped: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack power`` takes."""
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
    rack_config.add_options(test)


def run(args: argparse.Namespace) -> int:
    """Tests the outlets and returns the exit code.

    Raises:
        ConfigError: The configuration or the wiring in it is wrong.
        PowerError: A master is running on the same outlets.
    """
    document = _document(args)
    settings = parse(document)
    rows = _chosen(settings, args.outlets)
    _check(settings)
    if args.dry_run:
        _forecast(rows, settings)
        return EXIT_OK
    broker = document.table("broker", BrokerSettings)
    outlets = rack_outlets.here(settings, broker, who="pirack power test")
    asyncio.run(_refuse_beside_a_master(args))
    return _report(asyncio.run(_test(settings, outlets, rows)), rows)


async def _test(
    settings: Settings, outlets: rack_outlets.RackOutlets, rows: Sequence[OutletRow]
) -> list[OutletOutcome]:
    try:
        outlets.lock()
    except PowerError as error:
        text = f"{error}; {INSTEAD}"
        raise PowerError(text) from error
    try:
        ask = functools.partial(ask_person, LineReader())
        return await OutletTest(settings, outlets, ask).run(rows)
    finally:
        await outlets.close()


async def _refuse_beside_a_master(args: argparse.Namespace) -> None:
    """Asks the broker whether a master is running, if there is a broker.

    The lock says so too, but only to who names the master's own folder.

    Raises:
        PowerError: One is running.
    """
    try:
        place = rack_config.find_rack(args)
    except (ConfigError, TopicError) as error:
        terminal.say(f"note: the broker was not asked for a master: {error}")
        return
    runs = await master_runs(connector(place.endpoint), place.topics)
    if runs is None:
        terminal.say(f"note: no broker at {place.broker}: no master was seen")
    if runs:
        text = f"a master of rack {place.topics.rack} is running; {INSTEAD}"
        raise PowerError(text)


def _document(args: argparse.Namespace) -> Document:
    """Returns the configuration, with the master's folder as it was started.

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
    """Returns the file with the outlets: of the rack that other commands would find.

    Raises:
        ConfigError: There is none.
    """
    if args.config is not None:
        return Path(args.config)
    data = runfile.data_directory(args.data)
    told = (data / rack_config.UP_FILE).with_name(rack_config.MASTER_FILE)
    for path, meant in (
        (told, args.data or runfile.read(data)),
        (rack_config.PRODUCTION, args.data is None),
        (told, True),
    ):
        if meant and path.exists():
            print(f"the outlets of {path}:", flush=True)
            return path
    text = (
        f"no outlets found: {data} has no rack of `pirack up`, and there is no "
        f"{rack_config.PRODUCTION}; give --config FILE"
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
    """Prints every mistake; stops at one that nothing may start with.

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


def _forecast(rows: Sequence[OutletRow], settings: Settings) -> None:
    for row in rows:
        names = _boards(row, settings)
        print(f"outlet {row.name} ({_wired(row)})")
        print(f"  feeds {_fed(row)}{': ' if names else ''}{', '.join(names)}")
        print(f"  {_switching(row, on=False)}; asks whether the power is gone")
        print(f"  waits {settings.power.min_off_s:g} s")
        print(f"  {_switching(row, on=True)}; asks whether it is back")
    print("nothing was touched (--dry-run)")


def _report(done: Sequence[OutletOutcome], rows: Sequence[OutletRow]) -> int:
    print()
    for one in done:
        print(f"{one.outlet:<18} {'skipped' if one.skipped else one.fault or 'fine'}")
    for row in rows[len(done) :]:
        print(f"{row.name:<18} not tested")
    fine = sum(not one.fault and not one.skipped for one in done)
    return EXIT_OK if fine == len(rows) else EXIT_FAILED


async def master_runs(
    connect: Connect, topics: Topics, *, connect_s: float = CONNECT_S
) -> bool | None:
    """Returns whether a master is online; None: there is no broker to ask.

    Args:
        connect: As somebody who may read its status.
        topics: Of the rack.
        connect_s: How long the broker may take, seconds.
    """
    client = RackClient(connect, topics, name="power", connect_s=connect_s)
    try:
        async with client:
            await client.wait_for(lambda: bool(client.picture.master), LISTEN_S)
            return client.picture.master == Status.ONLINE
    except LinkError:
        return None


async def ask_person(reader: LineReader, question: str) -> YesNoQuit:
    """Asks until the answer begins with y, n or q; no more answers mean q."""
    while True:
        sys.stdout.write(f"{question} [y/n/q] ")
        sys.stdout.flush()
        line = await reader.line()
        if line is None:
            print(flush=True)
            return YesNoQuit.QUIT
        first = line.strip().lower()[:1]
        if first in set(YesNoQuit):
            return YesNoQuit(first)


class OutletTest:
    """Tests outlets one by one: off and on again, or on and off if it was off.

    Args:
        settings: The configuration.
        outlets: Switches.
        ask: Asks the person who stands at the rack.
        tell: Tells that person a line.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        settings: Settings,
        outlets: Outlets,
        ask: Callable[[str], Awaitable[YesNoQuit]],
        tell: Callable[[str], object] = terminal.say,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._outlets = outlets
        self._ask = ask
        self._tell = tell
        self._sleep = sleep

    async def run(self, rows: Sequence[OutletRow]) -> list[OutletOutcome]:
        """Tests some outlets; returns the result of each that was reached."""
        done: list[OutletOutcome] = []
        for row in rows:
            self._tell("")
            self._tell(f"outlet {row.name} ({_wired(row)})")
            reply = await self._ask(self._warning(row))
            if reply is YesNoQuit.QUIT:
                break
            if reply is YesNoQuit.NO:
                done.append(OutletOutcome(row.name, skipped=True))
                continue
            done.append(await self._tested(row))
            if done[-1].fault:
                self._tell(f"  ! {done[-1].fault}")
        return done

    def _warning(self, row: OutletRow) -> str:
        names = _boards(row, self._settings)
        who = ", ".join(names) if names else _fed(row)
        return f"  cut it? {who} will lose power without a shutdown"

    async def _tested(self, row: OutletRow) -> OutletOutcome:
        try:
            await self._outlets.claim(row.name, Power.UNKNOWN)
            before = await self._outlets.read(row.name)
            return OutletOutcome(row.name, await self._both_ways(row, before))
        except PowerError as error:
            return OutletOutcome(row.name, str(error))

    async def _both_ways(self, row: OutletRow, before: Power) -> str:
        """Switches there and back; returns what is wrong."""
        there = before is Power.OFF
        seen: dict[bool, bool | None] = {}
        try:
            seen[there] = await self._one_way(row, on=there)
        finally:
            # After Ctrl-C, too, it ends as it was found.
            if not there:
                await self._sleep(self._settings.power.min_off_s)
            await self._outlets.switch(row.name, on=not there)
        if None in seen.values():
            return "not finished"
        seen[not there] = await self._look(row, on=not there)
        return _fault(row, lost=seen[False], came=seen[True])

    async def _one_way(self, row: OutletRow, *, on: bool) -> bool | None:
        self._tell(f"  {_switching(row, on=on)}")
        await self._outlets.switch(row.name, on=on)
        return await self._look(row, on=on)

    async def _look(self, row: OutletRow, *, on: bool) -> bool | None:
        """Compares what the outlet says and the person sees; None: the person quit."""
        read = await self._outlets.read(row.name)
        if read is not (Power.ON if on else Power.OFF):
            self._tell(f"  it reads back {read}")
        what = _fed(row)
        question = f"  does {what} have power?" if on else f"  did {what} lose power?"
        reply = await self._ask(question)
        return None if reply is YesNoQuit.QUIT else reply is YesNoQuit.YES


def _fault(row: OutletRow, *, lost: bool | None, came: bool | None) -> str:
    """Returns what is wrong from what was seen after off and after on."""
    if lost and came:
        return ""
    if None in {lost, came}:
        return "not finished"
    if not lost and not came and row.active_low is not None:
        right = "false" if row.active_low else "true"
        return f"it works the other way round: write active_low = {right}"
    if not lost and not came:
        return "it works the other way round: exchange on and off"
    if lost:
        return f"{_fed(row)} did not come back: see relay, supply and contact"
    return (
        f"{_fed(row)} kept its power: another pin or plug, or the wrong "
        "contact of the relay; did anything else go dark?"
    )


def _fed(row: OutletRow) -> str:
    """Returns what an outlet feeds, as a person calls it."""
    if row.stack is not None:
        return f"stack {row.stack}"
    return ", ".join(row.nodes) or "what it feeds"


def _boards(row: OutletRow, settings: Settings) -> tuple[str, ...]:
    """Returns the names of the boards that lose power with an outlet."""
    return tuple(
        node.name or node.id
        for node in settings.nodes
        if node.id in row.nodes or (row.stack is not None and node.stack == row.stack)
    )


def _wired(row: OutletRow) -> str:
    """Returns what switches an outlet."""
    if row.pin is not None:
        polarity = "low" if row.active_low else "high"
        return f"{row.driver}, GPIO{row.pin}, on when {polarity}"
    if row.plug is not None:
        return f"{row.driver}, {resolve(row.plug).command_topic}"
    return str(row.driver)


def _switching(row: OutletRow, *, on: bool) -> str:
    """Returns what switching an outlet does."""
    word = "on" if on else "off"
    if row.pin is not None and row.active_low is not None:
        high = RelayWiring(row.pin, row.active_low).high(on=on)
        return f"{word}: GPIO{row.pin} becomes {'high' if high else 'low'}"
    if row.plug is not None:
        plug = resolve(row.plug)
        payload = plug.on if on else plug.off
        return f"{word}: {plug.command_topic} gets {payload!r}"
    if row.commands is not None:
        command = row.commands.on if on else row.commands.off
        text = command if isinstance(command, str) else " ".join(command)
        return f"{word}: runs {text}"
    return word
