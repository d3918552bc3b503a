"""Simulates the commands of a board: what they would print, what they would do."""

import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath

from broker.contract import update_report
from broker.contract.verbs import Verb
from node_agent.board import Board, MachineFacts, Vitals
from node_agent.runner import Invocation, Outcome, Progress, silently

NOT_FOUND = 127
"""Exit code of a shell whose command does not exist."""

UPDATE_S = 6.0
"""How long a simulated update takes: long enough to be watched."""

_QUICK_S = 0.02
_BLINK = "node_agent.blink"
_PACKAGES = "node_agent.packages"
_REBOOT = (("systemctl", "reboot"), ("reboot",), ("shutdown", "-r"))
_HALT = (("systemctl", "poweroff"), ("poweroff",), ("halt",), ("shutdown",))


class SimulatedRunner:
    """A ``Runner`` that starts no program.

    Args:
        acts: What reboot, shutdown and identify do to the board.
    """

    def __init__(
        self,
        board: Board,
        acts: Mapping[Verb, Callable[[], None]],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._board = board
        self._acts = acts
        self._sleep = sleep

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        """Does what the words mean, as far as this board has the program."""
        words = _words(invocation.argv)
        act = self._action(words)
        if act is not None:
            act()
            return Outcome(exit_code=0, duration_s=_QUICK_S)
        if words[:1] != ("apt-get",):
            return self._print(words, _QUICK_S)
        await self._sleep(UPDATE_S / 2)
        progress("Reading package lists...\n")
        await self._sleep(UPDATE_S / 2)
        return self._print(words, UPDATE_S)

    async def why_not(self, invocation: Invocation) -> str:
        """Returns which program is missing; a simulated board has every permission."""
        words = _words(invocation.argv)
        if self._action(words) is not None or (words and words[0] in PROGRAMS):
            return ""
        return f"{words[0] if words else 'nothing'}: not found"

    def _action(self, words: tuple[str, ...]) -> Callable[[], None] | None:
        """Returns what these words do to the board, if anything."""
        if _starts(words, _REBOOT):
            return self._acts[Verb.REBOOT]
        if _starts(words, _HALT):
            return self._acts[Verb.SHUTDOWN]
        return self._acts[Verb.IDENTIFY] if _BLINK in words else None

    def _print(self, words: tuple[str, ...], duration_s: float) -> Outcome:
        program = PROGRAMS.get(words[0]) if words else None
        if program is None:
            text = f"sh: 1: {words[0] if words else ''}: not found\n"
            return Outcome(exit_code=NOT_FOUND, stderr=text, duration_s=duration_s)
        stdout = program(self._board.facts(), self._board.vitals(), words[1:])
        return Outcome(exit_code=0, stdout=stdout, duration_s=duration_s)


def _words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the program's name and arguments, out of a shell's line or sudo's."""
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


# -- what programs print, in the format of the real ones --------------------------

Print = Callable[[MachineFacts, Vitals, tuple[str, ...]], str]
"""Standard output of a program, from what the board is and measures, and its words."""

_GIB = 1024**3
_MIB = 1024**2
_THERMAL = "thermal_zone"


def _awk(_facts: MachineFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    """Only the built-in temperature alias is known."""
    return _celsius(vitals) if any(_THERMAL in word for word in words) else ""


def _cat(_facts: MachineFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    """The thermal zone counts in thousandths of a degree."""
    if any(_THERMAL in word for word in words):
        return f"{round((vitals.temperature_c or 0.0) * 1000)}\n"
    return ""


def _celsius(vitals: Vitals) -> str:
    return f"{vitals.temperature_c or 0.0:.1f} °C\n"


def _vcgencmd(_facts: MachineFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    if words[:1] != ("get_throttled",):
        return f"temp={vitals.temperature_c or 0.0:.1f}'C\n"
    throttled = vitals.throttled
    now = 0x5 if throttled and throttled.now else 0x0
    since_boot = 0x50000 if throttled and throttled.since_boot else 0x0
    return f"throttled={now | since_boot:#x}\n"


def _uptime(_facts: MachineFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    minutes = int(vitals.uptime_s // 60)
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    load = ", ".join(f"{value:.2f}" for value in vitals.load or ())
    return f" up {days} days, {hours:2}:{left:02},  0 users,  load average: {load}\n"


def _free(facts: MachineFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    total = facts.memory_bytes / _MIB
    used = total * (vitals.memory_percent or 0.0) / 100.0
    return (
        "               total        used   available\n"
        f"Mem:    {total:10.0f}Mi {used:9.0f}Mi {total - used:9.0f}Mi\n"
    )


def _df(facts: MachineFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    size = facts.disk_bytes / _GIB
    used = size * (vitals.disk_percent or 0.0) / 100.0
    return (
        "Filesystem      Size  Used Avail Use% Mounted on\n"
        f"/dev/mmcblk0p2  {size:3.0f}G  {used:3.0f}G  {size - used:3.0f}G"
        f"  {vitals.disk_percent:2.0f}% /\n"
    )


def _journal(facts: MachineFacts, _vitals: Vitals, words: tuple[str, ...]) -> str:
    units = [word.partition("=")[2] for word in words if word.startswith("--unit=")]
    unit = units[0] if units else "init.scope"
    return f"{facts.hostname} systemd[1]: Started {unit}.\n"


def _apt_get(_facts: MachineFacts, _vitals: Vitals, words: tuple[str, ...]) -> str:
    if "update" in words or "lists" in words:
        return "Hit:1 http://deb.debian.org/debian bookworm InRelease\n"
    said = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded."
    return f"{said}\n{update_report.line(changed=0, left=0)}\n"


PROGRAMS: dict[str, Print] = {
    "apt-get": _apt_get,
    "awk": _awk,
    "cat": _cat,
    "df": _df,
    "echo": lambda _facts, _vitals, words: " ".join(words) + "\n",
    "free": _free,
    "hostname": lambda facts, _vitals, _words: f"{facts.hostname}\n",
    "journalctl": _journal,
    "systemctl": lambda _facts, _vitals, _words: "0 loaded units listed.\n",
    "true": lambda _facts, _vitals, _words: "",
    "uname": lambda facts, _vitals, _words: f"Linux {facts.kernel} aarch64\n",
    "uptime": _uptime,
    "vcgencmd": _vcgencmd,
}
"""By name; what is missing here is not installed."""
