"""What the programs of an invented board print, in the format of the real ones."""

from collections.abc import Callable

from broker.contract import updated
from node_agent.board import BoardFacts, Vitals

Print = Callable[[BoardFacts, Vitals, tuple[str, ...]], str]
"""Standard output of a program, from what the board is and measures, and its words."""

_GIB = 1024**3
_MIB = 1024**2
_THERMAL = "thermal_zone"


def _awk(_facts: BoardFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    """Only the built-in temperature alias is known."""
    return _celsius(vitals) if any(_THERMAL in word for word in words) else ""


def _cat(_facts: BoardFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    """The thermal zone counts in thousandths of a degree."""
    if any(_THERMAL in word for word in words):
        return f"{round((vitals.temperature_c or 0.0) * 1000)}\n"
    return ""


def _celsius(vitals: Vitals) -> str:
    return f"{vitals.temperature_c or 0.0:.1f} °C\n"


def _vcgencmd(_facts: BoardFacts, vitals: Vitals, words: tuple[str, ...]) -> str:
    if words[:1] != ("get_throttled",):
        return f"temp={vitals.temperature_c or 0.0:.1f}'C\n"
    throttled = vitals.throttled
    now = 0x5 if throttled and throttled.now else 0x0
    since_boot = 0x50000 if throttled and throttled.since_boot else 0x0
    return f"throttled={now | since_boot:#x}\n"


def _uptime(_facts: BoardFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    minutes = int(vitals.uptime_s // 60)
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    load = ", ".join(f"{value:.2f}" for value in vitals.load or ())
    return f" up {days} days, {hours:2}:{left:02},  0 users,  load average: {load}\n"


def _free(facts: BoardFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    total = facts.memory_bytes / _MIB
    used = total * (vitals.memory_percent or 0.0) / 100.0
    return (
        "               total        used   available\n"
        f"Mem:    {total:10.0f}Mi {used:9.0f}Mi {total - used:9.0f}Mi\n"
    )


def _df(facts: BoardFacts, vitals: Vitals, _words: tuple[str, ...]) -> str:
    size = facts.disk_bytes / _GIB
    used = size * (vitals.disk_percent or 0.0) / 100.0
    return (
        "Filesystem      Size  Used Avail Use% Mounted on\n"
        f"/dev/mmcblk0p2  {size:3.0f}G  {used:3.0f}G  {size - used:3.0f}G"
        f"  {vitals.disk_percent:2.0f}% /\n"
    )


def _journal(facts: BoardFacts, _vitals: Vitals, words: tuple[str, ...]) -> str:
    units = [word.partition("=")[2] for word in words if word.startswith("--unit=")]
    unit = units[0] if units else "init.scope"
    return f"{facts.hostname} systemd[1]: Started {unit}.\n"


def _apt_get(_facts: BoardFacts, _vitals: Vitals, words: tuple[str, ...]) -> str:
    if "update" in words or "lists" in words:
        return "Hit:1 http://deb.debian.org/debian bookworm InRelease\n"
    said = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded."
    return f"{said}\n{updated.line(changed=0, left=0)}\n"


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
