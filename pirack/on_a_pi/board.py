"""Checks of the board and its system, as PiRack's code and documents describe them.

Nothing is changed and no pin is touched; all that is done beside reading is to start
programs that only tell: ``vcgencmd``, ``pinctrl get``, ``systemctl show``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import platform
import re
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from broker.common import kernel_clock
from node_agent import actions, blink, identity, throttle
from node_agent.actions import probe
from node_agent.runner import SubprocessRunner
from node_agent.vitals import LinuxBoard
from provisioning.common.hardware import looks_like_a_pi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node_agent.board import MachineFacts, Vitals

DEADLINE_S = 20.0
SYSTEMS = {("debian", "12"), ("debian", "13"), ("raspbian", "12"), ("raspbian", "13")}
"""``ID`` and ``VERSION_ID`` of Raspberry Pi OS: its 32-bit one is ``raspbian``."""
CLIENTS = ("NetworkManager", "dhcpcd", "systemd-networkd", "dhclient")
UNITS = (
    "pirack-agent",
    "pirack-master",
    "pirack-powerd",
    "pirack-dashboard",
    "mosquitto",
)
NEAR_C = 4.0
READINGS = 20
NO_PI = "this machine is not a Raspberry Pi"
_TEMPERATURE = re.compile(r"temp=(-?[0-9.]+)")


class RowResult(enum.StrEnum):
    """How a check went."""

    OK = "ok"
    DIFFERS = "differs"
    """This machine is not what PiRack's code or documents say."""
    UNKNOWN = "cannot be checked"


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """One check.

    Args:
        why: Why it could not be checked, or what was expected.
    """

    name: str
    result: RowResult
    seen: str = ""
    why: str = ""


def ok(name: str, seen: str) -> ReportRow:
    """Returns a row for what is as it should be."""
    return ReportRow(name, RowResult.OK, seen)


def differs(name: str, seen: str, expected: str) -> ReportRow:
    """Returns a row for what is not as it should be."""
    return ReportRow(name, RowResult.DIFFERS, seen, f"expected: {expected}")


def unknown(name: str, why: str, seen: str = "") -> ReportRow:
    """Returns a row for what cannot be checked here."""
    return ReportRow(name, RowResult.UNKNOWN, seen, why)


def agrees(name: str, seen: str, *, expected: str, holds: bool) -> ReportRow:
    """Returns a row for what either is as expected or is not."""
    return ok(name, seen) if holds else differs(name, seen, expected)


class ToolError(Exception):
    """A program is not there, or did not say what it was asked."""


def run(*words: str) -> str:
    """Returns what a program says.

    Raises:
        ToolError: It is missing, failed, or took too long.
    """
    try:
        done = subprocess.run(  # noqa: S603  # constants of this folder's modules
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        text = f"{words[0]} is not installed"
        raise ToolError(text) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        text = f"{words[0]}: {said[-1] if said else f'exit code {done.returncode}'}"
        raise ToolError(text)
    return done.stdout.strip()


@dataclasses.dataclass
class TriedMachine:
    """The machine that is checked.

    Args:
        ask: Runs a program that only tells.
    """

    root: Path = Path("/")
    ask: Callable[..., str] = run

    def __post_init__(self) -> None:
        self.board = LinuxBoard(self.root)
        self.facts: MachineFacts = self.board.facts()
        self.raspberry = identity.is_raspberry(self.root)

    def text(self, path: str) -> str:
        """Returns a small file's text; empty where there is none."""
        return identity.read_text(self.root / path)


def rows(machine: TriedMachine) -> Iterator[ReportRow]:
    """Checks the board and its system."""
    yield _model(machine)
    yield _system(machine)
    yield _identity(machine)
    yield _addresses(machine)
    yield _vitals(machine)
    yield _temperature(machine)
    yield _throttle(machine)
    yield _light(machine)
    yield _abilities()
    yield _speed(machine)
    yield _clock(machine)
    yield _network_client(machine)
    yield _wear(machine)
    yield _boot_order(machine)
    yield hat(machine)
    yield _units(machine)


def _model(machine: TriedMachine) -> ReportRow:
    seen = machine.facts.model or "no model"
    if not machine.raspberry:
        return unknown("board", NO_PI, seen)
    try:  # /proc/cpuinfo has it on Raspberry Pi's kernel alone
        number = (machine.root / "proc/device-tree/system/linux,revision").read_bytes()
        revision = number.hex().lstrip("0")
    except OSError:
        revision = "unknown"
    memory = machine.facts.memory_bytes / 2**20
    return ok("board", f"{seen}, revision {revision}, {memory:.0f} MiB")


def _system(machine: TriedMachine) -> ReportRow:
    pairs = (
        line.partition("=")[::2] for line in machine.text("etc/os-release").splitlines()
    )
    release = {key: value.strip("\"'") for key, value in pairs}
    which = (release.get("ID", ""), release.get("VERSION_ID", ""))
    facts = machine.facts
    pi = "; Raspberry Pi OS" if machine.text("etc/rpi-issue") else ""
    seen = f"{facts.os or 'unknown'}{pi}, kernel {facts.kernel}, {facts.architecture}"
    if not facts.os:
        return unknown("system", "there is no /etc/os-release", seen)
    return agrees("system", seen, expected="Debian 12 or 13", holds=which in SYSTEMS)


def _identity(machine: TriedMachine) -> ReportRow:
    own, serial = identity.hardware_id(machine.root), machine.facts.serial
    seen = f"{own or 'none'}, serial {serial or 'none'}"
    if not machine.raspberry:
        return unknown("id", NO_PI, seen)
    expected = "pi- and the last eight of 16 digits of the serial"
    holds = len(serial) == 16 and own == f"pi-{serial[-8:]}"  # noqa: PLR2004  # digits
    return agrees("id", seen, expected=expected, holds=holds)


def _addresses(machine: TriedMachine) -> ReportRow:
    found = identity.interfaces(machine.root)
    kinds = [
        f"{one.name} {one.mac}"
        f"{' wireless' if one.wireless else ''}{' USB' if one.usb else ''}"
        f"{'' if one.identifies else ' (names no machine)'}"
        for one in found
    ]
    seen = ", ".join(kinds) or "no interface"
    if not machine.raspberry or not found:
        return unknown("hardware addresses", "no Raspberry Pi's interface", seen)
    first = found[0]
    wired = not first.wireless or all(one.wireless for one in found)
    holds = first.identifies and wired and looks_like_a_pi(first.mac)
    expected = "the wired one first, with an address of Raspberry Pi's"
    return agrees("hardware addresses", seen, expected=expected, holds=holds)


def _vitals(machine: TriedMachine) -> ReportRow:
    time.sleep(0.5)  # a share of processor time needs two readings
    found = machine.board.vitals()
    values = {name: getattr(found, name) for name in found.__struct_fields__}
    absent = [name for name, value in values.items() if value is None]
    may = {"throttled", "temperature_c"} if not machine.raspberry else set()
    unreadable = machine.board.facts().unreadable
    said = ", ".join(f"{name}: {why}" for name, why in unreadable.items())
    seen = (
        f"processor {found.cpu_percent}, memory {found.memory_percent}, "
        f"disk {found.disk_percent}, swap {found.swap_percent} percent, load "
        f"{found.load}; not there: {', '.join(absent) or 'nothing'}"
    )
    return agrees(
        "vitals",
        f"{seen}; {said}" if said else seen,
        expected="each of them can be read",
        holds=not unreadable and set(absent) <= may,
    )


def _temperature(machine: TriedMachine) -> ReportRow:
    found = machine.board.vitals().temperature_c
    if found is None:
        return unknown("temperature", "there is no sensor")
    seen = f"{found:.1f} °C"
    try:
        match = _TEMPERATURE.match(machine.ask("vcgencmd", "measure_temp"))
    except ToolError as error:
        zones = sorted((machine.root / "sys/class/thermal").glob("thermal_zone*"))
        kinds = ", ".join(identity.read_text(zone / "type") for zone in zones)
        return ok("temperature", f"{seen}, of {kinds}; not compared: {error}")
    other = float(match[1]) if match else float("nan")
    return agrees(
        "temperature",
        f"{seen}, vcgencmd {other:.1f}",
        expected=f"both within {NEAR_C:.0f} °C",
        holds=abs(found - other) <= NEAR_C,
    )


def _throttle(machine: TriedMachine) -> ReportRow:
    """Compares the agent's bits with those of both sources."""
    file = machine.text(throttle.SYSFS)
    try:
        program = machine.ask(*throttle.VCGENCMD)
    except ToolError as error:
        program, missing = "", str(error)
    else:
        missing = ""
    vitals = _settled(machine)
    bits = vitals.throttled
    shown = "none" if bits is None else f"now {', '.join(bits.now) or 'none'}"
    shown += f", since boot {', '.join(bits.since_boot) or 'none'}" if bits else ""
    shown = bits.unknown if bits is not None and bits.unknown else shown
    kernel = f"the kernel's file {file or 'is missing'}"
    seen = f"{shown}; {kernel}; {missing or program}"
    if not machine.raspberry:
        return unknown("throttle bits", NO_PI, seen)
    if not file and not program:
        return unknown("throttle bits", missing, seen)
    told, _ = throttle.decode(program or file)
    holds = bits is not None and not bits.unknown and bits.now == told.now
    return agrees(
        "throttle bits", seen, expected="the agent reads the same bits", holds=holds
    )


def _settled(machine: TriedMachine) -> Vitals:
    """Returns vitals once a program that was started for them has answered."""
    deadline = time.monotonic() + 5
    while True:
        found = machine.board.vitals()
        waiting = found.throttled is not None and "not read" in (
            found.throttled.unknown or ""
        )
        if not waiting or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _light(machine: TriedMachine) -> ReportRow:
    led = blink.find(machine.root)
    obstacle = blink.why_not(led)
    if led is None:
        return unknown("light for identify", obstacle)
    trigger = identity.read_text(led / "trigger").split()
    chosen = next((word for word in trigger if word.startswith("[")), "none")
    seen = f"{led.name}, trigger {chosen}"
    if obstacle:
        hint = "the agent's unit may, by its udev rule; or run this with sudo"
        return unknown("light for identify", f"{obstacle}; {hint}", seen)
    return ok("light for identify", f"{seen}, may be written; --light blinks it")


def blinked(machine: TriedMachine) -> ReportRow:
    """Blinks the light for four seconds, and puts its trigger back."""
    led = blink.find(machine.root)
    obstacle = blink.why_not(led)
    if led is None or obstacle:
        return unknown("light blinks", obstacle)
    before = identity.read_text(led / "trigger")
    blink.blink(led, 4.0, time.sleep)
    after = identity.read_text(led / "trigger")
    return agrees(
        "light blinks",
        f"{led.name}, eight flashes; did you see them? Write it into your report",
        expected="its trigger is as it was",
        holds=before == after,
    )


def _abilities() -> ReportRow:
    found = asyncio.run(probe(actions.load(None), SubprocessRunner()))
    offered = ", ".join(one.verb for one in found.abilities)
    others = {**found.obstacles, **found.unanswered}
    lacks = "; ".join(f"{verb}: {why}" for verb, why in others.items())
    seen = f"for this user: {offered}; not: {lacks or 'nothing'}"
    return agrees(
        "abilities",
        seen,
        expected="each is offered or says why not",
        holds=not found.unanswered,
    )


def _speed(machine: TriedMachine) -> ReportRow:
    taken = []
    for _ in range(READINGS):
        began = time.process_time()
        machine.board.vitals()
        taken.append(1000 * (time.process_time() - began))
    middle, most = statistics.median(taken), max(taken)
    seen = f"{middle:.1f} ms of processor time (median of {READINGS}, most {most:.1f})"
    return agrees("one reading", seen, expected="below 50 ms", holds=middle < 50)  # noqa: PLR2004  # said in the row


def _clock(machine: TriedMachine) -> ReportRow:
    own = kernel_clock.synced()
    said = {True: "set", False: "not set", None: "unknown"}[own]
    try:
        other = machine.ask("timedatectl", "show", "--property=NTPSynchronized")
    except ToolError as error:
        return unknown("clock", str(error), said)
    holds = other.endswith("=yes") is (own is True)
    return agrees(
        "clock", f"{said}; {other}", expected="both say the same", holds=holds
    )


def _network_client(machine: TriedMachine) -> ReportRow:
    running = set()
    for process in (machine.root / "proc").glob("[0-9]*/comm"):
        name = identity.read_text(process)
        # The kernel cuts names after 15 characters.
        running |= {one for one in CLIENTS if name and one[:15] == name}
    if not running:
        return unknown("DHCP client", "none of those known runs")
    seen = []
    for one in sorted(running):
        try:
            program = shutil.which(one, path="/usr/sbin:/usr/bin:/sbin") or one
            version = machine.ask(program, "--version").splitlines()[:1]
        except ToolError:
            version = []
        seen.append(" ".join(dict.fromkeys([one, *version])))
    return ok("DHCP client", ", ".join(seen))


def _wear(machine: TriedMachine) -> ReportRow:
    cards = sorted((machine.root / "sys/block").glob("mmcblk[0-9]"))
    errors = machine.facts.disk_errors
    counted = "not counted" if errors is None else errors
    seen = f"errors of the root file system: {counted}"
    if not cards:
        return unknown("card", "there is no card in /sys/block", seen)
    life = identity.read_text(cards[0] / "device/life_time")
    if not life:
        return unknown("card", "an SD card does not say how worn it is", seen)
    return ok("card", f"life_time {life}; {seen}")


def _boot_order(machine: TriedMachine) -> ReportRow:
    """Shows what the bootloader tries; a board without EEPROM has no such setting."""
    if not machine.raspberry:
        return unknown("boot order", NO_PI)
    try:
        said = machine.ask("vcgencmd", "bootloader_config")
    except ToolError as error:
        return unknown("boot order", str(error))
    found = [line for line in said.splitlines() if line.startswith("BOOT_ORDER")]
    return ok("boot order", found[0] if found else "none set")


def hat(machine: TriedMachine) -> ReportRow:
    """Shows the HAT that the firmware found; its pins are not known from that."""
    base = machine.root / "proc/device-tree/hat"
    named = [identity.read_text(base / one) for one in ("vendor", "product")]
    if not machine.raspberry:
        return unknown("HAT", NO_PI)
    powered = (machine.root / "sys/class/power_supply/rpi-poe").is_dir()
    poe = "; a PoE supply" if powered else ""
    return ok("HAT", f"{' '.join(filter(None, named)) or 'none with an EEPROM'}{poe}")


def _units(machine: TriedMachine) -> ReportRow:
    try:
        said = running_units(machine)
    except ToolError as error:
        return unknown("services", str(error))
    return ok("services", ", ".join(said) or "none of PiRack's runs")


def running_units(machine: TriedMachine) -> list[str]:
    """Returns the services of a rack that run here, with their process.

    Raises:
        ToolError: systemd does not run here.
    """
    said = machine.ask("systemctl", "show", "--property=Id,MainPID", *UNITS)
    found = []
    for block in said.split("\n\n"):
        pairs = dict(line.partition("=")[::2] for line in block.splitlines())
        if pairs.get("MainPID", "0") != "0":
            found.append(f"{pairs.get('Id')} (process {pairs['MainPID']})")
    return found


def python(install: str) -> ReportRow:
    """Shows the Python that runs this, and how PiRack came to it.

    Args:
        install: How it was installed, in words.
    """
    bits = platform.architecture()[0]
    return ok("Python", f"{platform.python_version()}, {bits}; {install}")
