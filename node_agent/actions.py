"""What a node can be told to do, and which of that works: aliases become actions.

A command is split into words once, when the file is read, and run without a shell.
``{name}`` in a word is a placeholder: the value a person sends becomes part of that
one word, with any characters. In a section with ``shell = yes`` the text goes to
``/bin/sh`` as it stands and takes no arguments at all, so that nothing from outside
ever reaches a shell. What works is found out by asking the runner, not assumed.
"""

import re
import shlex
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError, ContractError
from broker.contract.messages import Ability
from broker.contract.verbs import Verb
from node_agent import command_file
from node_agent.command_file import Alias, Section
from node_agent.runner import Invocation, Runner, UnansweredError

BUILT_IN = Path(__file__).with_name("commands.ini")
MAX_ARGUMENT = 256
"""Longest value of a placeholder, characters."""

_ALIASABLE = frozenset({Verb.IDENTIFY, Verb.REBOOT, Verb.SHUTDOWN, Verb.UPDATE})
_RESERVED = frozenset(verb.value for verb in Verb if verb not in _ALIASABLE)
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SHELL_PLACEHOLDER = re.compile(r"(?<!\$)\{[a-z][a-z0-9_]*\}")
_OPERATOR = re.compile(r"[|&;]+|[0-9]?[<>].*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


OWN = (
    Ability(verb=Verb.PING, note="Answer at once"),
    Ability(verb=Verb.REFRESH, note="Send everything again"),
    Ability(verb=Verb.RUN, note="Run an alias with arguments"),
)
"""What every agent answers itself."""
RESTART = Ability(verb=Verb.RESTART_AGENT, note="Restart the agent, not the machine")
"""What one answers too that comes back when it ends."""
_NOT_YET = "not probed yet"


class NodeAction(msgspec.Struct, frozen=True, kw_only=True):
    """One alias, ready to be given its arguments.

    Args:
        words: Program and arguments, some of them with placeholders.
        probe: Words of the command that tells whether it can work; may be empty.
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
        """Returns what to run.

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
        """Returns what to probe: ``x`` for every placeholder; never run it."""
        values = dict.fromkeys(self.placeholders, "x")
        return self._made(tuple(_fill(word, values) for word in self.words))

    def _made(self, argv: tuple[str, ...]) -> Invocation:
        return Invocation(
            verb=self.verb, argv=argv, timeout_s=self.timeout_s, probe=self.probe
        )

    def _bind(self, arguments: Sequence[str]) -> dict[str, str]:
        """Returns the value of each placeholder."""
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


Actions = dict[str, NodeAction]
"""The actions of one node, by verb."""


def load(path: Path | None = None) -> Actions:
    """Reads the built-in command file and, over it, the owner's.

    Args:
        path: The owner's file: its aliases add to the built-in ones or replace them;
            an alias with nothing after the ``=`` takes a built-in one away.

    Raises:
        ConfigError: A file cannot be read or a line cannot be used.
    """
    found = _actions(command_file.read(BUILT_IN))
    if path is not None:
        found |= _actions(command_file.read(path))
    return _present(found)


def from_text(text: str, source: str = "commands") -> Actions:
    """Reads the text of one command file, without the built-in one.

    Raises:
        ConfigError: A line cannot be used.
    """
    return _present(_actions(command_file.parse(text, source)))


def withhold(actions: Actions, reasons: Mapping[str, str]) -> Actions:
    """Returns the actions, some of which must not be done here.

    Args:
        actions: All of them, whichever file they are from.
        reasons: Why not, by verb; told to everyone who asks for one.
    """
    return {
        verb: msgspec.structs.replace(action, withheld=reasons.get(verb, ""))
        for verb, action in actions.items()
    }


def _present(found: Mapping[str, NodeAction | None]) -> Actions:
    return {verb: action for verb, action in found.items() if action is not None}


def _actions(sections: Iterable[Section]) -> dict[str, NodeAction | None]:
    """Returns the actions of a file; None for an alias it takes away."""
    found: dict[str, NodeAction | None] = {}
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


def _action(section: Section, alias: Alias) -> NodeAction:
    if alias.name in _RESERVED:
        text = (
            f"{alias.where}: {alias.name!r} cannot be an alias: PiRack answers it "
            "itself; take the line out or rename it"
        )
        raise ConfigError(text)
    words = _shell(alias) if section.shell else _split(alias.command, alias.where)
    names = [] if section.shell else _names(words)
    return NodeAction(
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
    """Returns the words that give a text to the shell."""
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
    """Splits a command as a shell would, and refuses what needs one."""
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
    """Refuses a command that would do something else than its author thinks."""
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
    """Returns the words with their quotes on: a quoted ``|`` is not an operator."""
    try:
        return shlex.split(command, posix=False)
    except ValueError:
        return []  # escaped quotes, which this mode does not know


def _check_value(value: str) -> None:
    """Refuses a value that no command should see."""
    if not 0 < len(value) <= MAX_ARGUMENT:
        text = f"argument {value[:64]!r} must have 1 to {MAX_ARGUMENT} characters"
        raise ContractError(text)
    if not value.isprintable():
        text = f"argument {value[:64]!r} must not have control characters"
        raise ContractError(text)


def _fill(word: str, values: Mapping[str, str]) -> str:
    """Returns a word with its placeholders filled; values are not expanded again.

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


class ProbedActions(msgspec.Struct, frozen=True):
    """What is known of the actions of a node.

    Args:
        abilities: What works, the agent's own first.
        obstacles: Why the others do not, by verb.
        unanswered: Of which it is not known yet, and why, by verb.
    """

    abilities: tuple[Ability, ...] = OWN
    obstacles: Mapping[str, str] = {}
    unanswered: Mapping[str, str] = {}

    def why_not(self, verb: str) -> str | None:
        """Returns why an action does not work, empty if it does; None: not known."""
        if any(ability.verb == verb for ability in self.abilities):
            return ""
        return self.obstacles.get(verb)


async def probe(
    actions: Actions, runner: Runner, own: tuple[Ability, ...] = OWN
) -> ProbedActions:
    """Returns what is found by asking the runner about every action once."""
    found = ProbedActions(own)
    async for found in probing(actions, runner, own):  # noqa: B007  # the last is the answer
        pass
    return found


async def probing(
    actions: Actions,
    runner: Runner,
    own: tuple[Ability, ...] = OWN,
    before: ProbedActions | None = None,
    *,
    again: bool = True,
) -> AsyncIterator[ProbedActions]:
    """Asks the runner about one action after the other; yields what is known so far.

    One at a time: while a board boots, many at once are answered by none in time.

    Args:
        before: What was known: it holds until there is an answer.
        again: Ask also about what was answered before.
    """
    answers = {verb: (before or ProbedActions(())).why_not(verb) for verb in actions}
    waiting: dict[str, str] = {}
    asked = [one for verb, one in actions.items() if again or answers[verb] is None]
    yield _summed(actions, own, answers, waiting)
    for action in asked:
        try:
            answers[action.verb] = await _obstacle(action, runner)
        except UnansweredError as error:
            waiting[action.verb] = str(error)
        yield _summed(actions, own, answers, waiting)


def _summed(
    actions: Actions,
    own: tuple[Ability, ...],
    answers: Mapping[str, str | None],
    waiting: Mapping[str, str],
) -> ProbedActions:
    return ProbedActions(
        (*own, *(one.ability for verb, one in actions.items() if answers[verb] == "")),
        {verb: why for verb, why in answers.items() if why},
        {
            verb: waiting.get(verb, _NOT_YET)
            for verb, why in answers.items()
            if why is None
        },
    )


async def _obstacle(action: NodeAction, runner: Runner) -> str:
    return action.withheld or await runner.why_not(action.sample())
