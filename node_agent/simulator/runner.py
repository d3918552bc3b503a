"""Acts the commands of an invented board: what they would print, what they would do."""

import shlex
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Protocol

from node_agent.board import Board
from node_agent.runner import Invocation, Outcome, Progress, silently
from node_agent.simulator.programs import PROGRAMS

NOT_FOUND = 127
"""Exit code of a shell whose command does not exist."""

UPDATE_S = 6.0
"""How long a simulated update takes: long enough to be watched."""

_QUICK_S = 0.02
_BLINK = "node_agent.blink"
_PACKAGES = "node_agent.packages"
_REBOOT = (("systemctl", "reboot"), ("reboot",), ("shutdown", "-r"))
_HALT = (("systemctl", "poweroff"), ("poweroff",), ("halt",), ("shutdown",))


class Deeds(Protocol):
    """What a command can do to the board that runs it."""

    def reboot(self) -> None:
        """Go down cleanly and come back, soon: the command still ends."""

    def shutdown(self) -> None:
        """Go down cleanly and stay down, soon."""

    def identify(self) -> None:
        """Blink."""


class SimulatedRunner:
    """A ``Runner`` that starts no program.

    Args:
        board: Whose command it is.
        deeds: What reboot, shutdown and identify do.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        board: Board,
        deeds: Deeds,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._board = board
        self._deeds = deeds
        self._sleep = sleep

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        """Do what the words mean, as far as this board has the program."""
        words = _words(invocation.argv)
        deed = self._deed(words)
        if deed is not None:
            deed()
            return Outcome(exit_code=0, duration_s=_QUICK_S)
        if words[:1] != ("apt-get",):
            return self._print(words, _QUICK_S)
        await self._sleep(UPDATE_S / 2)
        progress("Reading package lists...\n")
        await self._sleep(UPDATE_S / 2)
        return self._print(words, UPDATE_S)

    async def why_not(self, invocation: Invocation) -> str:
        """Say which program is missing; an invented board has every permission."""
        words = _words(invocation.argv)
        if self._deed(words) is not None or (words and words[0] in PROGRAMS):
            return ""
        return f"{words[0] if words else 'nothing'}: not found"

    def _deed(self, words: tuple[str, ...]) -> Callable[[], None] | None:
        """Return what these words do to the board, if anything."""
        if _starts(words, _REBOOT):
            return self._deeds.reboot
        if _starts(words, _HALT):
            return self._deeds.shutdown
        return self._deeds.identify if _BLINK in words else None

    def _print(self, words: tuple[str, ...], duration_s: float) -> Outcome:
        program = PROGRAMS.get(words[0]) if words else None
        if program is None:
            text = f"sh: 1: {words[0] if words else ''}: not found\n"
            return Outcome(exit_code=NOT_FOUND, stderr=text, duration_s=duration_s)
        stdout = program(self._board.facts(), self._board.vitals(), words[1:])
        return Outcome(exit_code=0, stdout=stdout, duration_s=duration_s)


def _words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the program's name and arguments, out of a shell's line or sudo's."""
    if argv[:2] == ("/bin/sh", "-c"):
        argv = _shell_words(argv[2])
    if argv[:2] == ("sudo", "-n"):
        argv = argv[2:]
    if _PACKAGES in argv:
        argv = ("apt-get", *argv[argv.index(_PACKAGES) + 1 :])
    if argv[:2] == ("systemctl", "--no-ask-password"):
        argv = (argv[0], *argv[2:])
    return (PurePosixPath(argv[0]).name, *argv[1:]) if argv else ()


def _shell_words(line: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line, comments=True))
    except ValueError:
        return tuple(line.split())


def _starts(words: tuple[str, ...], any_of: tuple[tuple[str, ...], ...]) -> bool:
    return any(words[: len(start)] == start for start in any_of)
