"""Tables within ``[[outlet]]`` and ``[power]`` that belong to one driver."""

import enum
import shlex
from typing import Annotated

import msgspec

from broker.common.settings import BrokerSettings

Seconds = Annotated[float, msgspec.Meta(gt=0, le=25)]
"""Less than the master gives a switching in all."""
Words = str | tuple[str, ...]
"""A command: words, or a line that is split into words once, without a shell."""


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
        timeout_s: Seconds in which it must answer.
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
    timeout_s: Seconds = 5.0


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
        timeout_s: Seconds after which a command is ended.
    """

    on: Words
    off: Words
    status: Words
    status_on: str = r"(?i)\bon\b"
    status_off: str = r"(?i)\boff\b"
    timeout_s: Seconds = 10.0


def words(command: Words) -> tuple[str, ...]:
    """Return a command's words.

    Raises:
        ValueError: A quotation does not end, or there is no word.
    """
    split = tuple(shlex.split(command)) if isinstance(command, str) else command
    if not split or not split[0]:
        text = "a command needs at least a program"
        raise ValueError(text)
    return split
