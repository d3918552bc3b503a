"""Mistakes in the wiring of outlets, found before a pin moves; pure.

``check`` refuses the fatal ones; ``pirack doctor`` names them all.
"""

from collections.abc import Callable, Iterator

import msgspec

from broker.common.config import Document
from broker.common.errors import ConfigError
from master_service.power.drivers.mqtt import resolve
from master_service.rack import settings as tables
from master_service.rack.settings import OutletRow, Settings, command_words

LAST_PIN = 27
PULLED_UP_BELOW = 9
"""Reset state of BCM2835, BCM2711 and RP1: pull-up on GPIO0-8, pull-down from GPIO9."""
ID_PINS = (0, 1)
"""ID_SD and ID_SC: at boot the firmware talks to the EEPROM of a HAT there."""


class Mistake(msgspec.Struct, frozen=True):
    """Something about an outlet that is wrong, or will surprise.

    Args:
        outlet: Its name; empty for the table ``[power]``.
        text: What is so.
        right: What would be right.
        fatal: Whether nothing may start like that.
    """

    outlet: str
    text: str
    right: str
    fatal: bool = True

    def __str__(self) -> str:
        """Returns the whole sentence."""
        where = f"[[outlet]] {self.outlet!r}" if self.outlet else "[power]"
        return f"{where}: {self.text}; {self.right}"


class Bus(msgspec.Struct, frozen=True):
    """A function of the Pi that takes pins when it is switched on.

    Args:
        name: What it is called.
        pins: What it takes.
        devices: Its device files; one of them there: it is on.
        off: How to switch it off.
    """

    name: str
    pins: frozenset[int]
    devices: tuple[str, ...]
    off: str


BUSES = (
    Bus(
        "I2C",
        frozenset({2, 3}),
        ("/dev/i2c-1",),
        "dtparam=i2c_arm=off",
    ),
    Bus(
        "SPI",
        frozenset({7, 8, 9, 10, 11}),
        ("/dev/spidev0.0", "/dev/spidev0.1"),
        "dtparam=spi=off",
    ),
    Bus(
        "the serial console (UART)",
        frozenset({14, 15}),
        ("/dev/serial0",),
        "enable_uart=0, and no console=serial0 in cmdline.txt",
    ),
)


def read(document: Document) -> Settings:
    """Returns the master's share of the configuration, checked.

    Raises:
        ConfigError: A key, a name, or rows that contradict each other.
    """
    settings = tables.parse(document)
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Refuses rows that contradict each other.

    Raises:
        ConfigError: The first contradiction found.
    """
    tables.check(settings)
    for mistake in mistakes(settings):
        if mistake.fatal:
            raise ConfigError(str(mistake))


def mistakes(settings: Settings) -> Iterator[Mistake]:
    """Returns every mistake that the configuration alone shows."""
    if settings.power.driver.value not in {"none", "fake"}:
        yield Mistake(
            "",
            f"driver {settings.power.driver.value!r} cannot be guessed for every stack",
            'give each its own [[outlet]], and here "none"',
        )
    for row in settings.outlets:
        yield from _parts(row)
        if row.driver.on_pins:
            yield from _pin(row)
    yield from _shared_pins(settings.outlets)
    yield from _shared_plugs(settings.outlets)
    yield from _fed(settings)


def bus_conflicts(
    rows: tuple[OutletRow, ...], exists: Callable[[str], bool]
) -> Iterator[Mistake]:
    """Returns outlets on pins that a bus of this machine is using.

    Args:
        rows: Every outlet.
        exists: Whether there is a file at a path.
    """
    on = [bus for bus in BUSES if any(exists(path) for path in bus.devices)]
    for row in rows:
        for bus in on:
            if row.driver.on_pins and row.pin in bus.pins:
                yield Mistake(
                    row.name,
                    f"GPIO{row.pin} is in use by {bus.name}",
                    f"use another pin, or switch it off in config.txt: {bus.off}",
                )


def _parts(row: OutletRow) -> Iterator[Mistake]:
    """Finds what a row lacks for its driver, and what its driver would ignore."""
    driver = row.driver.value
    needs = {"mqtt": "plug", "command": "commands"}.get(driver)
    for part in ("plug", "commands"):
        given = getattr(row, part) is not None
        if given and part != needs:
            yield Mistake(
                row.name,
                f"driver {driver!r} has no {part}",
                "correct driver, or drop it",
            )
        if part == needs and not given:
            yield Mistake(
                row.name, f"driver {driver!r} needs {part}", "see docs/power.md"
            )
    if not row.driver.on_pins and (row.pin, row.active_low) != (None, None):
        yield Mistake(
            row.name,
            f"driver {driver!r} has no pin and no active_low",
            'write driver = "rpi-gpio" or "gpiod", or drop them',
        )
    try:
        if row.plug is not None:
            resolve(row.plug)
        if row.commands is not None:
            for command in (row.commands.on, row.commands.off, row.commands.status):
                command_words(command)
    except (ConfigError, ValueError) as error:
        yield Mistake(row.name, str(error), "see docs/power.md")


def _pin(row: OutletRow) -> Iterator[Mistake]:
    if row.pin is None:
        yield Mistake(
            row.name,
            f"driver {row.driver.value!r} needs a pin",
            "write pin = <BCM number>, as `pinctrl get` numbers them",
        )
        return
    if not 0 <= row.pin <= LAST_PIN:
        yield Mistake(
            row.name,
            f"pin {row.pin} is not on the header",
            "it must be a BCM number from 2 to 27",
        )
        return
    if row.pin in ID_PINS:
        yield Mistake(
            row.name,
            f"pin {row.pin} is reserved: ID_SD and ID_SC are driven at every boot",
            "use a pin from 2 to 27",
        )
    if row.active_low is None:
        yield Mistake(
            row.name,
            "active_low is not given, and is never guessed",
            "write active_low = true if the relay is on when the pin is low (most blue "
            "relay boards), false if not; `pirack power test` shows which",
        )
        return
    yield from _at_boot(row.name, row.pin, active_low=row.active_low)


def _at_boot(outlet: str, pin: int, *, active_low: bool) -> Iterator[Mistake]:
    """Finds relays that are on from power-up until something drives their pin."""
    pulled_up = pin < PULLED_UP_BELOW
    if pulled_up is active_low:
        return
    pull, others = ("up", "9 to 27") if pulled_up else ("down", "2 to 8")
    level, early = ("high", "dl") if not active_low else ("low", "dh")
    yield Mistake(
        outlet,
        f"GPIO{pin} is pulled {pull} until something drives it, and the relay is on "
        f"when it is {level}: the boards blip on while the master's Pi boots",
        f"use a pin from {others}, or an external resistor; gpio={pin}=op,{early} in "
        "config.txt shortens it to a few seconds",
        fatal=False,
    )


def _shared_pins(rows: tuple[OutletRow, ...]) -> Iterator[Mistake]:
    first: dict[int, str] = {}
    for row in rows:
        if row.driver.on_pins and row.pin is not None:
            other = first.setdefault(row.pin, row.name)
            if other != row.name:
                yield Mistake(
                    row.name,
                    f"GPIO{row.pin} is also the pin of outlet {other!r}",
                    "each relay has a pin of its own",
                )


def _shared_plugs(rows: tuple[OutletRow, ...]) -> Iterator[Mistake]:
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.plug is None:
            continue
        try:
            plug = resolve(row.plug)
        except ConfigError:
            continue  # named by _parts
        other = first.setdefault((plug.command_topic, plug.on), row.name)
        if other != row.name:
            yield Mistake(
                row.name,
                f"it is the same relay as outlet {other!r} ({plug.command_topic})",
                "give each its own device or channel",
            )


def _fed(settings: Settings) -> Iterator[Mistake]:
    """Finds outlets that feed no board, an unknown one, or one that is fed already."""
    stacks = set(range(1, settings.rack.stacks + 1))
    stacks |= {row.number for row in settings.stacks}
    places = {row.id: row.stack for row in settings.nodes}
    of_stack = {
        row.stack: row.name for row in settings.outlets if row.stack is not None
    }
    known = stacks | {stack for stack in places.values() if stack}
    for row in settings.outlets:
        if row.stack is None and not row.nodes:
            yield Mistake(
                row.name, "it feeds nobody", "give it stack or nodes", fatal=False
            )
        if stacks and row.stack is not None and row.stack not in known:
            yield Mistake(
                row.name,
                f"it feeds stack {row.stack}, which the rack does not have",
                f"the rack has {_ranges(known)}; correct it, or add a [[stack]]",
            )
        for node in row.nodes:
            yield from _fed_node(row, node, places, of_stack)


def _fed_node(
    row: OutletRow,
    node: str,
    places: dict[str, int | None],
    of_stack: dict[int, str],
) -> Iterator[Mistake]:
    if places and node not in places:
        yield Mistake(
            row.name,
            f"it feeds node {node}, for which there is no [[node]]",
            "correct the id, or add the row",
            fatal=False,
        )
    stack = places.get(node)
    other = of_stack.get(stack) if stack is not None else None
    if other not in {None, row.name}:
        yield Mistake(
            row.name,
            f"node {node} is also fed by outlet {other!r}, with all of stack {stack}",
            "an outlet of single boards lists them in nodes and has no stack",
        )


def _ranges(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) if numbers else "none"
