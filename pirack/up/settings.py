"""``[up]`` of ``pirack.toml``, and what the command line puts in its place."""

import argparse
import re
from pathlib import Path
from typing import Any

import msgspec

from broker.common.config import MAX_STACKS, BrokerSettings, Document, RackSettings
from broker.common.errors import ConfigError, TopicError
from broker.contract.topics import check_name
from dashboard.server.settings import DashboardSettings
from pirack import listen
from pirack.listen import Listen
from pirack.rack_config import UpSettings
from pirack.runfile import data_directory
from pirack.up.data_directory import DataDirectory

DEFAULT_SHAPE = "12x4"
MAX_BOARDS = 64
_SHAPE = re.compile(r"([0-9]{1,4})(?:x([0-9]{1,2}))?")


class Shape(msgspec.Struct, frozen=True):
    """A regular rack: stacks, and boards in each."""

    stacks: int
    boards: int

    def __str__(self) -> str:
        """As typed: ``12x4``, ``0``."""
        return f"{self.stacks}x{self.boards}" if self.stacks else "0"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to start: command line over file over built-in values.

    Args:
        tables: The configuration file's tables, for the parts.
        shape: What to simulate; no stacks for none.
        mqtt_port: Port wanted for it.
        http_port: Port wanted for it.
        allow_host_power: Whether a simulated rack may take this machine down.
        verbose: Show what the parts say at level info too.
        names: By which Pis reach this machine; empty to find out.
        config: The configuration file; None for built-in values.
    """

    tables: dict[str, Any]
    rack: str
    shape: Shape
    data: Path
    mqtt_host: str
    mqtt_port: int
    http_host: str
    http_port: int
    allow_host_power: bool
    verbose: bool
    listen: Listen | None = None
    names: tuple[str, ...] = ()
    config: Path | None = None

    @property
    def paths(self) -> DataDirectory:
        """Where everything of this rack and shape is kept."""
        key = f"{self.rack}-{self.shape}" if self.shape.stacks else self.rack
        return DataDirectory(self.data, key)


def parse_shape(text: str) -> Shape:
    """Reads ``12x4``, or ``0`` for no simulation.

    Raises:
        ConfigError: It is not a shape, or larger than the contract can address.
    """
    match = _SHAPE.fullmatch(text.strip().lower())
    stacks, boards = (int(part or 0) for part in match.groups()) if match else (-1, 0)
    if stacks == 0:
        return Shape(0, 0)
    if 1 <= stacks <= MAX_STACKS and 1 <= boards <= MAX_BOARDS:
        return Shape(stacks, boards)
    limit = f"{MAX_STACKS}x{MAX_BOARDS}"
    text = f"--simulate {text!r}: use stacks x boards, up to {limit}, or 0 for none"
    raise ConfigError(text)


def resolve(args: argparse.Namespace, document: Document) -> Options:
    """Puts the command line over the file.

    Raises:
        ConfigError: A table, the shape or the rack's name cannot be used.
    """
    up = document.table("up", UpSettings)
    rack = document.table("rack", RackSettings)
    broker = document.table("broker", BrokerSettings)
    page = document.table("dashboard", DashboardSettings)
    own_shape = f"{rack.stacks}x{rack.boards}" if rack.stacks else DEFAULT_SHAPE
    shape = args.simulate or up.simulate or own_shape
    given = args.data or (Path(up.data) if up.data else None)
    return Options(
        tables=document.tables,
        rack=_rack_name(args.rack or rack.name),
        shape=parse_shape(shape),
        data=data_directory(given).absolute(),
        mqtt_host=broker.host,
        mqtt_port=args.mqtt_port or broker.port,
        http_host=args.http_host or page.host,
        http_port=args.http_port or page.http_port,
        allow_host_power=args.allow_host_power or up.allow_host_power,
        verbose=args.verbose,
        listen=listen.parse(text) if (text := args.listen or up.listen) else None,
        names=tuple(args.name or up.names),
        config=args.config.resolve() if args.config else None,
    )


def _rack_name(name: str) -> str:
    try:
        return check_name(name, "rack")
    except TopicError as error:
        raise ConfigError(str(error)) from error
