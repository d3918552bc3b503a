"""Checks of this machine: what is installed and configured, what is free."""

import errno
import importlib.metadata
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from broker.common.config import load
from broker.common.errors import BrokerError, ConfigError, PiRackError
from broker.common.extras import how_to_add
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import BROKEN, STORE
from pirack.doctor.check_result import CheckResult, fail, ok, warn
from pirack.up import client_tools, configuration, ports

OLDEST_PYTHON = (3, 11)
OLDEST_MOSQUITTO = (2, 0)
BASE = ("paho-mqtt", "psutil", "msgspec")
EXTRAS = {"nicegui": "the page", "rich": "coloured tables", "shtab": "completion"}
LOW_DISK_BYTES = 200 * 1024 * 1024

Version = Callable[[str], str]


def python(version: tuple[int, ...]) -> CheckResult:
    """Checks the interpreter."""
    text = ".".join(map(str, version[:3]))
    if version >= OLDEST_PYTHON:
        return ok("python", f"{text} on {platform.machine()}")
    return fail("python", f"{text} is too old", "install Python 3.11 or newer")


def dependencies(
    version: Version = importlib.metadata.version,
) -> Iterator[CheckResult]:
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


def broker_program() -> Iterator[CheckResult]:
    """Checks what ``pirack up`` would start."""
    try:
        found = mosquitto.find()
        version = found.version()
    except BrokerError as error:
        what = str(error).removesuffix(f"; {mosquitto.HINT}")
        yield fail("mosquitto", what, mosquitto.HINT)
        return
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers >= OLDEST_MOSQUITTO:
        yield ok("mosquitto", f"{version}, {found.program}, with {found.plugin.name}")
    else:
        yield fail(
            "mosquitto", f"{version} at {found.program} is too old", mosquitto.HINT
        )
    publish = client_tools.find("mosquitto_pub", found.program)
    if shutil.which(publish):
        yield ok("mosquitto tools", shutil.which(publish) or publish)
    else:
        advice = "to paste lines: sudo apt-get install mosquitto-clients"
        yield warn("mosquitto tools", "mosquitto_pub is not installed", advice)


def broker_stores(data: Path) -> Iterator[CheckResult]:
    """Checks whether the broker's store had to be put aside."""
    pattern = f"{STORE}{BROKEN}*"
    found = sorted([*data.glob(pattern), *data.glob(f"*/{pattern}")])
    if found:
        moment = found[-1].name.rpartition(BROKEN)[2]
        text = f"could not be read, and was put aside at {moment} UTC as {found[-1]}"
        advice = (
            "a power cut does that, a dying card too: look at the card (dmesg | grep "
            "mmc), then remove the file"
        )
        yield warn("broker store", text, advice)


def data_directory(path: Path) -> CheckResult:
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


def port(subject: str, host: str, number: int) -> CheckResult:
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


def clock(*, synced: bool | None) -> CheckResult:
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


def icmp() -> CheckResult:
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


def configuration_file(path: Path | None) -> Iterator[CheckResult]:
    """Checks a configuration file, each table by its owner.

    Args:
        path: None: there is none, and built-in values are used.
    """
    if path is None:
        yield ok("configuration", "none given: built-in values")
        return
    try:
        document = load(path)
    except ConfigError as error:
        other = "name another file with --config"
        advice = "correct it in the file" if path.exists() else other
        yield fail("configuration", str(error), advice)
        return
    try:
        configuration.check(document)
    except PiRackError as error:
        yield fail("configuration", str(error), "correct that key in the file")
    else:
        yield ok("configuration", f"{path}: every table and key is known")
