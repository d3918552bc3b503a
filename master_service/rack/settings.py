"""The tables of ``pirack.toml`` that the master owns."""

import enum
import shlex
from typing import Annotated

import msgspec

from broker.common.config import MAX_STACKS, BrokerSettings, Document, RackSettings
from broker.common.errors import ConfigError
from broker.contract.topics import check_name

Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
MAX_TAGS = 32
Text = Annotated[str, msgspec.Meta(max_length=64)]
WithinAWeek = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
SwitchSeconds = Annotated[float, msgspec.Meta(gt=0, le=25)]
"""Less than the master gives a switching in all."""
CommandWords = str | tuple[str, ...]
"""A command: words, or a line that is split into words once, without a shell."""


class MasterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[master]``: how the master watches and answers.

    Args:
        data_dir: Folder of the master's own state; made when it is missing.
        node: Id of the node that is the master's own Pi; empty if not known.
        interval_s: Heartbeat interval of a node that has not said its own, seconds.
        probe: How a silent board is asked: ``icmp``, ``echo:<port>`` (RFC 862 over
            UDP, which the simulator answers) or ``none``.
        grace_s: Seconds after the broker or the master came back in which a silent
            node is ``unknown`` and never ``lost``.
        boot_s: Seconds a board is given to boot until its own time is learnt.
        answer_s: Seconds in which an agent must begin to answer an order.
        run_s: Seconds without progress after which an order that was begun counts as
            failed; an agent that is working on it says so again and again.
        stop_s: Seconds in which a shutdown must be proven.
        clock_skew_s: Difference of clocks, seconds, from which it is a fault.
        events_kept: Lines of history kept on disk.
        keep_events_days: Age, days, from which a line of history is dropped.
        flush_s: Seconds that what may be lost (history) waits for the next commit.
    """

    data_dir: str = "data/master"
    node: str = ""
    interval_s: Positive = 10.0
    probe: Annotated[str, msgspec.Meta(pattern=r"^(icmp|none|echo:[0-9]{1,5})$")] = (
        "icmp"
    )
    grace_s: NotNegative = 30.0
    boot_s: Positive = 120.0
    answer_s: Positive = 5.0
    run_s: Positive = 900.0
    stop_s: Positive = 90.0
    clock_skew_s: Positive = 10.0
    events_kept: Annotated[int, msgspec.Meta(ge=100)] = 100_000
    keep_events_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 365.0
    flush_s: Positive = 30.0


class Driver(enum.StrEnum):
    """What switches an outlet."""

    NONE = "none"
    FAKE = "fake"
    RPI_GPIO = "rpi-gpio"
    GPIOD = "gpiod"
    MQTT = "mqtt"
    COMMAND = "command"

    @property
    def on_pins(self) -> bool:
        """Whether it drives GPIO pins of this machine."""
        return self in {Driver.RPI_GPIO, Driver.GPIOD}


class ColdStart(enum.StrEnum):
    """What an outlet is brought to after a mains cut."""

    KEEP = "keep"
    """What it was to be before."""
    ON = "on"
    OFF = "off"


class Preset(enum.StrEnum):
    """Whose topics a plug speaks."""

    CUSTOM = "custom"
    TASMOTA = "tasmota"
    SHELLY_GEN2 = "shelly-gen2"
    ZIGBEE2MQTT = "zigbee2mqtt"
    ESPHOME = "esphome"


class PlugBroker(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``plug_broker`` of ``[power]``: as ``[broker]``, for the broker of the plugs."""


class PlugRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``plug`` of an outlet with ``driver = "mqtt"``.

    A preset fills in all but ``device`` (and ``channel`` where there are several); what
    is given here replaces its part. In topics, payloads and keys ``{device}``,
    ``{channel}`` and ``{_channel}`` (an underscore before it, unless it is empty) are
    replaced.

    Args:
        preset: Whose topics.
        device: The plug's own topic or name.
        channel: Which of its relays.
        command_topic: Where it is told; never retained.
        on: Payload for on.
        off: Payload for off.
        state_topic: Where it says what it is.
        state_key: Key, dotted for nested ones, if it says so in JSON.
        state_on: What it says when on; upper or lower case does not matter.
        state_off: What it says when off.
        availability_topic: Where it says that it is there; empty: nowhere.
        availability_key: Key, if it says so in JSON.
        available: What it says when it is there.
        unavailable: What it, or its will, says when it is gone.
        ask_topic: Where it is asked for its state; empty: it cannot be asked.
        ask: Payload of the question.
        timeout_s: SwitchSeconds in which it must answer.
    """

    preset: Preset = Preset.CUSTOM
    device: str = ""
    channel: str | int = ""
    command_topic: str | None = None
    on: str | None = None
    off: str | None = None
    state_topic: str | None = None
    state_key: str | None = None
    state_on: str | None = None
    state_off: str | None = None
    availability_topic: str | None = None
    availability_key: str | None = None
    available: str | None = None
    unavailable: str | None = None
    ask_topic: str | None = None
    ask: str | None = None
    timeout_s: SwitchSeconds = 5.0


class CommandsRow(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """``commands`` of an outlet with ``driver = "command"``; none sees a shell.

    Args:
        on: Switches on. Exit code 0: done; 75: not now, try again; else: failed.
        off: Switches off, likewise.
        status: Says which it is, on standard output.
        status_on: Regular expression found in that when it is on.
        status_off: Regular expression found in that when it is off.
        timeout_s: SwitchSeconds after which a command is ended.
    """

    on: CommandWords
    off: CommandWords
    status: CommandWords
    status_on: str = r"(?i)\bon\b"
    status_off: str = r"(?i)\boff\b"
    timeout_s: SwitchSeconds = 10.0


class PowerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[power]``: the outlets in general.

    Args:
        driver: With a driver every stack without an ``[[outlet]]`` of its own has one
            called ``stack-<n>``; ``none`` leaves those stacks without an outlet.
        settle_s: Seconds between the proof that a board is down and the cut, for its
            card to finish.
        min_off_s: Seconds an outlet stays off before it may come on again.
        at_once: How many outlets may be coming on together: from the switch until the
            last of their boards answers, or should have. None: as many as ``budget_a``
            allows, and one where that is not given either.
        budget_a: What those may draw together, amperes; one that needs more than that
            comes on alone. None: not counted.
        inrush_a: What an outlet draws while its boards come, amperes, unless its row
            says otherwise; 12 is four boards with a supply of 3 A each.
        stagger_s: Least time between two outlets that are switched on, seconds.
        look_s: Seconds in which every outlet is read once, to see what was switched by
            hand; 0: never. A plug on MQTT says so itself, at once.
        cold_start: What outlets are brought to after a mains cut, unless the row says
            otherwise: ``keep`` (as they were to be), ``on`` or ``off``.
        holder: Socket of ``pirack-powerd``, which then holds the GPIO lines in place of
            the master; empty: the master holds them.
        holder_dir: Folder of that process's own state.
        plug_broker: Where the plugs of driver ``mqtt`` are, as in ``[broker]``; None:
            on the rack's own broker.
    """

    driver: Driver = Driver.NONE
    settle_s: NotNegative = 3.0
    min_off_s: NotNegative = 5.0
    at_once: Annotated[int, msgspec.Meta(ge=1)] | None = None
    budget_a: Positive | None = None
    inrush_a: NotNegative = 12.0
    stagger_s: NotNegative = 1.0
    look_s: NotNegative = 60.0
    cold_start: ColdStart = ColdStart.KEEP
    holder: str = ""
    holder_dir: str = "data/powerd"
    plug_broker: PlugBroker | None = None


class StackRow(msgspec.Struct, frozen=True, kw_only=True):
    """``[[stack]]``: one stack that differs from the regular shape of ``[rack]``.

    Args:
        number: As in its topic.
        name: What people call it; without it ``stack <n>``.
        x: Column in the picture, from 0; None: by number.
        y: Row in the picture, from 0, top first; None: by number.
        slots: Boards it holds; None: as the rack says.
    """

    number: Annotated[int, msgspec.Meta(ge=1, le=9999)]
    name: Text = ""
    x: Annotated[int, msgspec.Meta(ge=0, le=1024)] | None = None
    y: Annotated[int, msgspec.Meta(ge=0, le=1024)] | None = None
    slots: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """``[[node]]``: a board that is expected, and its place.

    Args:
        id: From the board: ``pi-`` and 8 hex digits.
        name: Display name; without it the id.
        stack: Stack number; None: it has no place.
        slot: Position in the stack from 1, top first; None likewise.
        tags: Words it can be addressed by.
    """

    id: str
    name: str = ""
    stack: Annotated[int, msgspec.Meta(ge=1, le=9999)] | None = None
    slot: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    tags: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()


class OutletRow(msgspec.Struct, frozen=True, kw_only=True):
    """``[[outlet]]``: one switched supply and what it feeds.

    Args:
        name: Its name on disk and in texts.
        driver: What switches it.
        stack: The stack it feeds; None: it feeds ``nodes``.
        nodes: Ids of the boards it feeds, when it is not a whole stack.
        inrush_a: What it draws while its boards come, amperes; None: as ``[power]``.
        cold_start: What it is brought to after a mains cut; None: as ``[power]``.
        pin: BCM number of the GPIO pin, for the drivers ``rpi-gpio`` and ``gpiod``.
        active_low: Whether its relay is on when the pin is low. Never guessed: a wrong
            guess turns off what should be on.
        plug: For the driver ``mqtt``.
        commands: For the driver ``command``.
    """

    name: str
    driver: Driver = Driver.FAKE
    stack: Annotated[int, msgspec.Meta(ge=1, le=9999)] | None = None
    nodes: tuple[str, ...] = ()
    inrush_a: NotNegative | None = None
    cold_start: ColdStart | None = None
    pin: int | None = None
    active_low: bool | None = None
    plug: PlugRow | None = None
    commands: CommandsRow | None = None


class HealStep(enum.StrEnum):
    """What can be tried on a board, mildest first."""

    RESTART_AGENT = "restart-agent"
    REBOOT = "reboot"
    POWER = "power"
    """Off and on again; what shares the outlet is shut down cleanly before."""


class HealSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[heal]``: self-healing of boards that are hung or lost.

    Args:
        enabled: Look after such boards at all.
        dry_run: Only say what would be done. Both switches must be set on purpose
            before anything is.
        steps: What may be tried, in this order: ``restart-agent``, ``reboot``,
            ``power``.
        patience_s: Seconds a board must be hung or lost before the first step.
        cool_down_s: Seconds between two steps on one board.
        budget_per_day: Steps on one board within 24 hours.
        max_percent: Share of the rack that may be interrupted at a time. When more
            boards than that are bad, nothing is done: they share a cause.
        breaker: Boards in a row that no step helped, after which all of it stops.
        breaker_s: Seconds for which it then stops.
        power_siblings: A board may be power-cycled although healthy boards share its
            outlet; they are shut down cleanly first, and boot again.
    """

    enabled: bool = False
    dry_run: bool = True
    steps: tuple[HealStep, ...] = (
        HealStep.RESTART_AGENT,
        HealStep.REBOOT,
        HealStep.POWER,
    )
    patience_s: WithinAWeek = 120.0
    cool_down_s: WithinAWeek = 600.0
    budget_per_day: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    max_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 10.0
    breaker: Annotated[int, msgspec.Meta(ge=1)] = 3
    breaker_s: WithinAWeek = 21_600.0
    power_siblings: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All the master reads from the configuration.

    Args:
        rack: ``[rack]``.
        master: ``[master]``.
        power: ``[power]``.
        heal: ``[heal]``.
        stacks: Every ``[[stack]]``.
        nodes: Every ``[[node]]``.
        outlets: Every ``[[outlet]]``.
    """

    rack: RackSettings = RackSettings()
    master: MasterSettings = MasterSettings()
    power: PowerSettings = PowerSettings()
    heal: HealSettings = HealSettings()
    stacks: tuple[StackRow, ...] = ()
    nodes: tuple[NodeRow, ...] = ()
    outlets: tuple[OutletRow, ...] = ()


def parse(document: Document) -> Settings:
    """Reads the master's tables of the configuration, each row for itself.

    Raises:
        ConfigError: A key or a value.
    """
    return Settings(
        rack=document.table("rack", RackSettings),
        master=document.table("master", MasterSettings),
        power=document.table("power", PowerSettings),
        heal=document.table("heal", HealSettings),
        stacks=document.rows("stack", StackRow),
        nodes=document.rows("node", NodeRow),
        outlets=document.rows("outlet", OutletRow),
    )


def check(settings: Settings) -> None:
    """Refuses rows that contradict each other, and names both.

    Raises:
        ConfigError: The first contradiction found.
    """
    numbers = {row.number for row in settings.stacks}
    numbers |= {row.stack for row in settings.nodes if row.stack}
    numbers |= {row.stack for row in settings.outlets if row.stack}
    count = len(numbers | set(range(1, settings.rack.stacks + 1)))
    if count > MAX_STACKS:
        text = f"{count} stacks are configured; a rack has at most {MAX_STACKS}"
        raise ConfigError(text)
    try:
        for node in settings.nodes:
            for word in (node.id, node.name or node.id, *node.tags):
                check_name(word, f"[[node]] {node.id!r}:")
        for outlet in settings.outlets:
            check_name(outlet.name, "[[outlet]] name")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    _unique("[[stack]] number", [str(row.number) for row in settings.stacks])
    _unique("[[node]] id", [row.id for row in settings.nodes])
    _unique("[[node]] name", [row.name or row.id for row in settings.nodes])
    _unique("[[outlet]] name", [row.name for row in settings.outlets])
    _unique("[[outlet]] stack", [str(r.stack) for r in settings.outlets if r.stack])
    _unique("[[outlet]] nodes", [n for row in settings.outlets for n in row.nodes])
    _unique(
        "[[node]] place (stack/slot)",
        [f"{n.stack}/{n.slot}" for n in settings.nodes if n.stack and n.slot],
    )


def _unique(what: str, values: list[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            text = f"{what} {value} is used twice; it must be unique"
            raise ConfigError(text)


def command_words(command: CommandWords) -> tuple[str, ...]:
    """Returns the words of a command.

    Raises:
        ValueError: A quotation does not end, or there is no word.
    """
    split = tuple(shlex.split(command)) if isinstance(command, str) else command
    if not split or not split[0]:
        text = "a command needs at least a program"
        raise ValueError(text)
    return split
