"""Checks of this machine: what is installed, what may be done, what is free."""

import errno
import importlib.metadata
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from broker.common.errors import ConfigError
from broker.common.extras import how_to_add
from pirack.doctor.finding import Finding, fail, ok, warn
from pirack.up import ports

OLDEST_PYTHON = (3, 11)
BASE = ("paho-mqtt", "psutil", "msgspec")
EXTRAS = {"nicegui": "the page", "rich": "coloured tables", "shtab": "completion"}
LOW_DISK_BYTES = 200 * 1024 * 1024

Version = Callable[[str], str]


def python(version: tuple[int, ...]) -> Finding:
    """Checks the interpreter."""
    text = ".".join(map(str, version[:3]))
    if version >= OLDEST_PYTHON:
        return ok("python", f"{text} on {platform.machine()}")
    return fail("python", f"{text} is too old", "install Python 3.11 or newer")


def dependencies(version: Version = importlib.metadata.version) -> Iterator[Finding]:
    """Checks what must be and what may be installed.

    Args:
        version: Returns a distribution's version, or raises PackageNotFoundError.
    """
    found, missing = _versions(BASE, version)
    if missing:
        advice = "install again: make install, or pip install pirack"
        yield fail("dependencies", f"missing: {', '.join(missing)}", advice)
    else:
        yield ok("dependencies", ", ".join(found))
    found, missing = _versions(tuple(EXTRAS), version)
    if missing:
        lost = ", ".join(f"{name} ({EXTRAS[name]})" for name in missing)
        advice = f"a node needs none of them; for the master: {how_to_add('rack')}"
        yield warn("extras", f"not installed: {lost}", advice)
    else:
        yield ok("extras", ", ".join(found))


def _versions(names: tuple[str, ...], version: Version) -> tuple[list[str], list[str]]:
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def data_directory(path: Path) -> Finding:
    """Checks that what must be kept can be kept."""
    nearest = next(one for one in (path, *path.parents) if one.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        advice = f"give yourself the right to write {nearest}, or use --data DIR"
        return fail("data directory", f"{path} cannot be written", advice)
    if path.exists() and path.stat().st_mode & 0o077:
        advice = f"it holds passwords: chmod 700 {path}"
        return warn("data directory", f"{path} can be read by others", advice)
    free = shutil.disk_usage(nearest).free
    if free < LOW_DISK_BYTES:
        text = f"{path}: only {free // 2**20} MiB free"
        return warn("data directory", text, "make room, or use --data DIR")
    state = "writable" if path.exists() else "will be made"
    return ok("data directory", f"{path}, {state}, {free // 2**30} GiB free")


def port(subject: str, host: str, number: int) -> Finding:
    """Checks that ``pirack up`` could listen where it is told to."""
    try:
        free = ports.is_free(host, number)
    except ConfigError as error:
        return fail(subject, str(error), "change it in pirack.toml, or by option")
    if free:
        return ok(subject, f"{host}:{number} is free")
    advice = (
        "`pirack up` takes the next free one and says so; to see who has it: ss -ltnp"
    )
    return warn(subject, f"{host}:{number} is taken", advice)


def clock(*, synced: bool | None) -> Finding:
    """Checks that the machine knows the time.

    Args:
        synced: What the kernel says; None where it says nothing.
    """
    if synced:
        return ok("clock", "set, says the kernel")
    if synced is None:
        return warn("clock", "the kernel does not say whether it is set", _CLOCK_ADVICE)
    return warn(
        "clock", "not synchronised: times in events may be wrong", _CLOCK_ADVICE
    )


_CLOCK_ADVICE = "see: timedatectl; switch on: sudo timedatectl set-ntp true"


def icmp() -> Finding:
    """Checks that the master may ping boards that went silent."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP):
                return ok("ping", "this user may send ICMP echo")
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EACCES, errno.EPROTONOSUPPORT}:
                raise
    advice = (
        'allow it: sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"; '
        'or set [master] probe = "none"'
    )
    return warn(
        "ping", "this user may not: `hung` and `lost` look the same then", advice
    )
