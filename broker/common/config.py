"""``pirack.toml``: read once, at start; each package owns its tables.

An unknown key is an error that names the nearest right one, for a typo that is
silently ignored costs an evening. The tables that every service reads are here.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from broker.common.errors import ConfigError

T = TypeVar("T")

MAX_STACKS = 999
"""So many surely fit the one message in which the whole rack is told."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class RackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[rack]``: what the rack is called and its regular shape.

    Args:
        name: Rack name, part of every topic.
        stacks: How many stacks; 0 when every stack has its own ``[[stack]]``.
        boards: Boards in a stack.
        columns: Stacks beside each other in the picture.
    """

    name: str = "lab"
    stacks: Annotated[int, msgspec.Meta(ge=0, le=MAX_STACKS)] = 0
    boards: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    columns: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[broker]``: where the broker is and how to sign in.

    Args:
        host: Name or address.
        port: TCP port.
        credentials: Path of a JSON file (mode 0600) with ``username`` and ``password``;
            empty for an anonymous connection. A password never stands here itself:
            configuration gets shared, secrets must not.
        ca_file: Certificate authority that signed the broker's certificate; setting it
            turns TLS on.
        keepalive_s: Seconds of silence after which the broker asks whether we live;
            its will is published after one and a half of it.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    credentials: str = ""
    ca_file: str = ""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=600)] = 15


class Document:
    """A parsed configuration file, or an empty one.

    Args:
        tables: Top-level tables by name.
        source: What to call it in an error.
    """

    def __init__(self, tables: dict[str, Any] | None = None, source: str = "") -> None:
        self._tables = tables or {}
        self._source = source or "built-in configuration"

    @property
    def tables(self) -> dict[str, Any]:
        """Every top-level table as it was read, for a program that writes another."""
        return dict(self._tables)

    def table(self, name: str, kind: type[T]) -> T:
        """Returns one table as the struct that documents it.

        Raises:
            ConfigError: A key is unknown, missing or of the wrong type.
        """
        return self._convert(self._tables.get(name, {}), kind, f"[{name}]")

    def rows(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """Returns an array of tables (``[[node]]``) as structs.

        Raises:
            ConfigError: A key is unknown, missing or of the wrong type.
        """
        rows = self._tables.get(name, [])
        if not isinstance(rows, list):
            text = f"{self._source}: write [[{name}]], not [{name}]"
            raise ConfigError(text)
        return tuple(
            self._convert(row, kind, f"[[{name}]] number {number}")
            for number, row in enumerate(rows, start=1)
        )

    def require_known(self, names: Iterable[str]) -> None:
        """Refuses a table that no package owns.

        Raises:
            ConfigError: A top-level name is not in ``names``, or is not a table.
        """
        known = sorted(names)
        for name, value in self._tables.items():
            if name not in known:
                raise ConfigError(_unknown(self._source, f"[{name}]", name, known))
            rows = value if isinstance(value, list) else [value]
            if not all(isinstance(row, dict) for row in rows):
                text = (
                    f"{self._source}: {name} is a table: write [{name}], and its keys "
                    "in the lines below"
                )
                raise ConfigError(text)

    def _convert(self, value: object, kind: type[T], where: str) -> T:
        fields = [field.encode_name for field in msgspec.structs.fields(kind)]  # type: ignore[arg-type]  # every table is a Struct
        if isinstance(value, dict):
            for key in value:
                if key not in fields:
                    raise ConfigError(_unknown(self._source, where, key, fields))
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            text = f"{self._source}: {where}: {_plain(error)}"
            raise ConfigError(text) from error


def load(path: Path | None) -> Document:
    """Reads a configuration file; no path gives an empty document.

    Raises:
        ConfigError: The file cannot be read or is not valid TOML.
    """
    if path is None:
        return Document()
    try:
        with path.open("rb") as file:
            return Document(tomllib.load(file), str(path))
    except OSError as error:
        denied = isinstance(error, PermissionError)
        way_out = "; be its owner, or use sudo" if denied else ""
        text = f"{path}: cannot be read: {error.strerror}{way_out}"
        raise ConfigError(text) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        text = f"{path}: is not valid TOML: {error}"
        raise ConfigError(text) from error


def _plain(error: msgspec.ValidationError) -> str:
    """Returns the error with its key first: ``simulate: Expected `str`, got `int```."""
    what, _, path = str(error).partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    return f"{key}: {what}" if key else what


def _unknown(source: str, where: str, key: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415  # a configuration that is right never needs it

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{source}: {where}: unknown key {key!r}; {hint}"
