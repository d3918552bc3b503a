"""What a node can be told to do: aliases become actions, actions become invocations.

A command is split into words once, when the file is read, and run without a shell.
``{name}`` in a word is a placeholder: the value a person sends becomes part of that
one word, whatever characters it has. In a section with ``shell = yes`` the text goes to
``/bin/sh`` as it stands and takes no arguments at all, so that nothing from outside
ever reaches a shell.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError, ContractError
from broker.contract.messages import Ability
from broker.contract.verbs import Verb
from node_agent import command_file
from node_agent.command_file import Alias, Section
from node_agent.runner import Invocation

BUILT_IN = Path(__file__).with_name("commands.ini")
MAX_ARGUMENT = 256
"""Longest value of a placeholder, characters."""

_ALIASABLE = frozenset({Verb.IDENTIFY, Verb.REBOOT, Verb.SHUTDOWN, Verb.UPDATE})
_RESERVED = frozenset(verb.value for verb in Verb if verb not in _ALIASABLE)
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SHELL_PLACEHOLDER = re.compile(r"(?<!\$)\{[a-z][a-z0-9_]*\}")
_OPERATOR = re.compile(r"[|&;]+|[0-9]?[<>].*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One alias, ready to be given its arguments.

    Args:
        verb: The alias.
        words: Program and arguments, some of them with placeholders.
        placeholders: Their names, in the order they appear.
        timeout_s: Seconds after which it is killed.
        probe: Words of the command that tells whether it can work; may be empty.
        note: What it does.
        withheld: Why it must not be done here; empty when it may.
    """

    verb: str
    words: tuple[str, ...]
    placeholders: tuple[str, ...]
    timeout_s: float
    probe: tuple[str, ...]
    note: str
    withheld: str = ""

    @property
    def ability(self) -> Ability:
        """The action as it stands in ``Details``."""
        return Ability(verb=self.verb, placeholders=self.placeholders, note=self.note)

    def invocation(self, arguments: Sequence[str] = ()) -> Invocation:
        """Return what to run.

        Args:
            arguments: A value for each placeholder, in order or as ``name=value``.

        Raises:
            ContractError: Too many, too few, or a value that is not safe; or it is
                withheld.
        """
        if self.withheld:
            text = f"{self.verb} is withheld: {self.withheld}"
            raise ContractError(text)
        values = self._bind(arguments)
        for value in values.values():
            _check_value(value)
        argv = tuple(_fill(word, values) for word in self.words)
        return self._made(argv)

    def sample(self) -> Invocation:
        """Return what to probe: ``x`` for every placeholder; never run it."""
        values = dict.fromkeys(self.placeholders, "x")
        return self._made(tuple(_fill(word, values) for word in self.words))

    def _made(self, argv: tuple[str, ...]) -> Invocation:
        return Invocation(
            verb=self.verb, argv=argv, timeout_s=self.timeout_s, probe=self.probe
        )

    def _bind(self, arguments: Sequence[str]) -> dict[str, str]:
        """Give each placeholder its value."""
        values: dict[str, str] = {}
        positional: list[str] = []
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if equals and name in self.placeholders:
                values[name] = value
            else:
                positional.append(argument)
        free = [name for name in self.placeholders if name not in values]
        if len(positional) != len(free):
            text = (
                f"{self.verb} takes {self._usage()}, got {len(arguments)} argument(s)"
            )
            raise ContractError(text)
        return values | dict(zip(free, positional, strict=True))

    def _usage(self) -> str:
        if not self.placeholders:
            return "no arguments"
        return " ".join(f"{name}=…" for name in self.placeholders)


class Actions:
    """The actions of one node, by verb.

    Args:
        actions: A later one replaces an earlier one of the same verb.
    """

    def __init__(self, actions: Iterable[Action] = ()) -> None:
        self._by_verb = {action.verb: action for action in actions}

    def __iter__(self) -> Iterator[Action]:
        return iter(self._by_verb.values())

    def get(self, verb: str) -> Action | None:
        """Return the action of a verb, or None."""
        return self._by_verb.get(verb)


def load(path: Path | None = None) -> Actions:
    """Read the built-in command file and, over it, one's own.

    Args:
        path: One's own file: its aliases add to the built-in ones or replace them, and
            an alias with nothing after the ``=`` takes a built-in one away.

    Raises:
        ConfigError: A file cannot be read or a line cannot be used.
    """
    found = _read(BUILT_IN)
    if path is not None:
        found |= _read(path)
    return Actions(action for action in found.values() if action is not None)


def withhold(actions: Actions, reasons: Mapping[str, str]) -> Actions:
    """Return the actions, some of which are not to be done here.

    Args:
        actions: All of them, whichever file they are from.
        reasons: Why not, by verb; whoever asks is told.
    """
    return Actions(
        msgspec.structs.replace(action, withheld=reasons.get(action.verb, ""))
        for action in actions
    )


def from_text(text: str, source: str = "commands") -> Actions:
    """Read the text of one command file, without the built-in one.

    Raises:
        ConfigError: A line cannot be used.
    """
    found = _actions(command_file.parse(text, source))
    return Actions(action for action in found.values() if action is not None)


def _read(path: Path) -> dict[str, Action | None]:
    return _actions(command_file.read(path))


def _actions(sections: Iterable[Section]) -> dict[str, Action | None]:
    """Return the actions of a file; None for an alias it takes away."""
    found: dict[str, Action | None] = {}
    seen: dict[str, str] = {}
    for section in sections:
        for alias in section.aliases:
            if alias.name in seen:
                text = (
                    f"{alias.where}: alias {alias.name!r} was already given at "
                    f"{seen[alias.name]}; keep one"
                )
                raise ConfigError(text)
            seen[alias.name] = alias.where
            found[alias.name] = _action(section, alias) if alias.command else None
    return found


def _action(section: Section, alias: Alias) -> Action:
    if alias.name in _RESERVED:
        text = (
            f"{alias.where}: {alias.name!r} cannot be an alias: PiRack answers it "
            "itself; take the line out or rename it"
        )
        raise ConfigError(text)
    words = _shell(alias) if section.shell else _split(alias.command, alias.where)
    names = [] if section.shell else _names(words)
    return Action(
        verb=alias.name,
        words=words,
        placeholders=tuple(dict.fromkeys(names)),
        timeout_s=section.timeout_s,
        probe=_split(section.probe, section.where) if section.probe else (),
        note=alias.note,
    )


def _names(words: Iterable[str]) -> list[str]:
    return [match[1] for word in words for match in _PLACEHOLDER.finditer(word)]


def _shell(alias: Alias) -> tuple[str, ...]:
    """Return the words that give a text to the shell."""
    found = _SHELL_PLACEHOLDER.search(alias.command)
    if found is None:
        return ("/bin/sh", "-c", alias.command)
    text = (
        f"{alias.where}: {alias.name!r} has {found[0]} under shell = yes, where "
        "arguments are not passed; move it to a section without a shell (or write "
        "spaces inside the braces if the shell is meant)"
    )
    raise ConfigError(text)


def _split(command: str, where: str) -> tuple[str, ...]:
    """Split a command as a shell would, and refuse what needs one."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        text = f"{where}: {command!r} cannot be split into words: {error}"
        raise ConfigError(text) from error
    if not words or not words[0]:
        text = f"{where}: {command!r} names no program"
        raise ConfigError(text)
    if _PLACEHOLDER.search(words[0]):
        text = f"{where}: program {words[0]!r} must not come from an argument"
        raise ConfigError(text)
    _refuse_shell_syntax(words, command, where)
    return words


def _refuse_shell_syntax(words: Sequence[str], command: str, where: str) -> None:
    """Catch a command that would do something else than its author thinks."""
    found = next((word for word in _bare(command) if _OPERATOR.fullmatch(word)), "")
    if _ASSIGNMENT.match(words[0]):
        found = words[0]
    if found:
        text = (
            f"{where}: {found!r} needs a shell; write shell = yes at the top of "
            "the section, or quote it"
        )
        raise ConfigError(text)


def _bare(command: str) -> list[str]:
    """Return the words with their quotes on: a quoted ``|`` is no operator."""
    try:
        return shlex.split(command, posix=False)
    except ValueError:
        return []  # escaped quotes, which this mode does not know


def _check_value(value: str) -> None:
    """Refuse a value that no command should see."""
    if not 0 < len(value) <= MAX_ARGUMENT:
        text = f"argument {value[:64]!r} must have 1 to {MAX_ARGUMENT} characters"
        raise ContractError(text)
    if not value.isprintable():
        text = f"argument {value[:64]!r} must not have control characters"
        raise ContractError(text)


def _fill(word: str, values: Mapping[str, str]) -> str:
    """Put values into one word; what they contain is not looked at again.

    Raises:
        ContractError: The word would become an option that the file did not write.
    """
    filled = _PLACEHOLDER.sub(lambda match: values[match[1]], word)
    if filled.startswith("-") and not word.startswith("-"):
        text = (
            f"argument {filled[:64]!r} must not start with '-': it would be an option"
        )
        raise ContractError(text)
    return filled
