"""``pirack.toml``: read once, at start; each package owns its table.

An unknown key is an error that names the nearest right one, for a typo that is
silently ignored costs an evening.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from broker.common.errors import ConfigError

T = TypeVar("T")


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
        """Return one table as the struct that documents it.

        Raises:
            ConfigError: A key is unknown, missing or of the wrong type.
        """
        return self._convert(self._tables.get(name, {}), kind, f"[{name}]")

    def rows(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """Return an array of tables (``[[node]]``) as structs.

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
        """Refuse a table that nobody owns.

        Raises:
            ConfigError: A top-level name is not in ``names``, or is no table.
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
    """Read a configuration file; no path gives an empty document.

    Raises:
        ConfigError: The file cannot be read or is no TOML.
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
        text = f"{path}: is no TOML: {error}"
        raise ConfigError(text) from error


def _plain(error: msgspec.ValidationError) -> str:
    """Put the key first: ``simulate: Expected `str`, got `int```."""
    what, _, path = str(error).partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    return f"{key}: {what}" if key else what


def _unknown(source: str, where: str, key: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415  # a configuration that is right never needs it

    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{source}: {where}: unknown key {key!r}; {hint}"
