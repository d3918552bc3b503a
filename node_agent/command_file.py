"""The command file: aliases and what they run, in the ``.ini`` format of 2016.

```
[sensors]
timeout_s = 10
# Processor temperature in degrees
temperature = vcgencmd measure_temp
```

A comment directly above an alias is its description. A line means what it says: no
continuation, and no comment after a command, for ``#`` and ``;`` belong to the command.
"""

import errno
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError, TopicError
from broker.contract.topics import check_name
from node_agent.runner import DEFAULT_TIMEOUT_S

SHELL, TIMEOUT, PROBE = "shell", "timeout_s", "probe"
_SETTINGS = (SHELL, TIMEOUT, PROBE)
_MISTAKEN = frozenset({"timeout", "timeout-s"})
"""Legal as aliases, but somebody who writes them means the setting."""
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}
_MAX_TIMEOUT_S = 86_400.0
_MAX_NOTE = 256


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """One line ``alias = command``.

    Args:
        name: Lower case; the verb that runs it.
        command: As written; empty takes away an alias of the built-in file.
        where: File and line, for error texts.
    """

    name: str
    command: str
    note: str
    where: str


class Section(msgspec.Struct, kw_only=True):
    """One ``[section]``: what holds for all its aliases.

    Args:
        shell: Whether ``/bin/sh`` runs the commands.
        timeout_s: Seconds after which a command is killed.
        probe: Command that tells by its exit code whether the aliases can work.
        where: File and line, for error texts.
        aliases: In the order written.
    """

    shell: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    probe: str = ""
    where: str = ""
    aliases: list[Alias] = msgspec.field(default_factory=list)


def read(path: Path) -> list[Section]:
    """Reads a command file.

    Raises:
        ConfigError: It cannot be read, or a line is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(reason) from error
    except UnicodeDecodeError as error:
        reason = f"{path}: is not UTF-8 text: {error}"
        raise ConfigError(reason) from error
    return parse(text, str(path))


def damage(path: Path) -> str:
    """Returns why a command file cannot be what a person wrote; empty if it can.

    A power cut leaves files empty or full of NUL, a dying card cannot be read. That is
    not a mistake of a person, which is reported before anything runs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"{path}: {error.strerror}" if error.errno == errno.EIO else ""
    if not content:
        return f"{path}: is empty"
    return f"{path}: is damaged, it contains NUL bytes" if b"\0" in content else ""


def parse(text: str, source: str) -> list[Section]:
    """Reads the text of a command file.

    Args:
        source: What to call it in an error.

    Raises:
        ConfigError: A line is not understood; the text names it.
    """
    sections: list[Section] = []
    note: list[str] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line, where = raw.strip(), f"{source}: line {number}"
        if line.startswith(("#", ";")):
            note.append(line.lstrip("#; "))
            continue
        if line.startswith("["):
            sections.append(_header(line, where))
        elif line:
            _entry(line, where, sections, " ".join(note).strip()[:_MAX_NOTE])
        note.clear()
    return sections


def _header(line: str, where: str) -> Section:
    if not line.endswith("]") or not line[1:-1].strip():
        error = f"{where}: section {line!r} must be written [name]"
        raise ConfigError(error)
    return Section(where=where)


def _entry(line: str, where: str, sections: list[Section], note: str) -> None:
    """Adds one ``key = value`` to the present section."""
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        error = f"{where}: {line!r} must be written alias = command"
        raise ConfigError(error)
    if not sections:
        error = f"{where}: {key!r} stands before the first [section]"
        raise ConfigError(error)
    name = key.lower()
    if name in _SETTINGS:
        _set(sections[-1], name, value, where)
    else:
        _check_alias(name, where)
        sections[-1].aliases.append(
            Alias(name=name, command=value, note=note, where=where)
        )


def _set(section: Section, key: str, value: str, where: str) -> None:
    """Applies one setting of a section."""
    if section.aliases:
        error = f"{where}: {key} must stand above the aliases of its section"
        raise ConfigError(error)
    if key == SHELL:
        section.shell = _boolean(value, where)
    elif key == TIMEOUT:
        section.timeout_s = _seconds(value, where)
    else:
        section.probe = value


def _boolean(value: str, where: str) -> bool:
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        error = f"{where}: shell {value!r} must be yes or no"
        raise ConfigError(error) from None


def _seconds(value: str, where: str) -> float:
    error = (
        f"{where}: timeout_s {value!r} must be a number of seconds above 0, "
        f"at most {_MAX_TIMEOUT_S:.0f}"
    )
    try:
        seconds = float(value)
    except ValueError:
        raise ConfigError(error) from None
    if not 0 < seconds <= _MAX_TIMEOUT_S:
        raise ConfigError(error)
    return seconds


def _check_alias(name: str, where: str) -> None:
    """Refuses a name that no topic could carry, and a misspelt setting."""
    if "_" in name or name in _MISTAKEN:
        import difflib  # noqa: PLC0415  # a node that is well never needs it

        near = difflib.get_close_matches(name, _SETTINGS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_SETTINGS)}"
        error = f"{where}: unknown setting {name!r}; {hint} (aliases have no '_')"
        raise ConfigError(error)
    try:
        check_name(name, "alias")
    except TopicError as reason:
        error = f"{where}: {reason}"
        raise ConfigError(error) from reason
