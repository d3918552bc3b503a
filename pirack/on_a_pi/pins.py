"""This board's pins: the bench of the jumper, and what is read without touching one.

Lines are held by gpiod 2, with each driver; function and pull of a pin are what
``pinctrl`` (or ``raspi-gpio``, before) reads from the registers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import multiprocessing
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from broker.common.config import load
from broker.common.errors import ConfigError, PiRackError
from master_service.power.drivers import gpio_machine, gpiod_lines
from master_service.power.wiring import BUSES, LAST_PIN, PULLED_UP_BELOW
from master_service.rack.settings import Driver, parse
from pirack.on_a_pi.board import (
    NO_PI,
    ReportRow,
    ToolError,
    TriedMachine,
    agrees,
    differs,
    ok,
    unknown,
)
from pirack.on_a_pi.jumper import FREE, BenchError, Pin
from pirack.rack_config import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from master_service.power.drivers.gpio_machine import OutputKeeping

OF_THE_SYSTEM = "/usr/lib/python3/dist-packages"
"""Where Debian's packages put RPi.GPIO or rpi-lgpio, which this Python has not."""
DRIVERS = (Driver.GPIOD, Driver.RPI_GPIO)
CONSUMER = "pirack-try"
ABSENT = "it is not installed (on Raspberry Pi OS RPi.GPIO is python3-rpi-lgpio)"
SETTLE_S = 0.05
ANSWER_S = 20.0
_PINCTRL = re.compile(r"^\s*(\d+): (\w\w)\b(?: +(?:d[lh]|--))? +(p[udn])?")
"""A pull is ``--`` on the boards before the Pi 4, which cannot be asked for it."""
_RASPI_GPIO = re.compile(r"GPIO (\d+):.* func=(\w+)(?: pull=(\w+))?")
_FUNCTIONS = {"INPUT": "ip", "OUTPUT": "op"}
_PULLS = {"UP": "pu", "DOWN": "pd", "NONE": "pn"}
_LABELS = (("Raspberry Pi 5", "pinctrl-rp1"), ("Raspberry Pi 500", "pinctrl-rp1"))
_LABELS_4 = ("Raspberry Pi 4", "Raspberry Pi Compute Module 4")


def see_system_packages() -> None:
    """Makes the system's packages importable, after those of this environment."""
    if OF_THE_SYSTEM not in sys.path:
        sys.path.append(OF_THE_SYSTEM)


def registers(machine: TriedMachine) -> dict[int, Pin]:
    """Returns function and pull of the header's pins.

    Raises:
        ToolError: No program reads them.
    """
    try:
        said = machine.ask("pinctrl", "get", f"0-{LAST_PIN}")
    except ToolError as error:
        with contextlib.suppress(ToolError):
            return _old(machine.ask("raspi-gpio", "get", f"0-{LAST_PIN}"))
        raise ToolError(str(error)) from error
    found = (_PINCTRL.match(line) for line in said.splitlines())
    return {int(one[1]): Pin(one[2], one[3] or "") for one in found if one}


def _old(said: str) -> dict[int, Pin]:
    found = (_RASPI_GPIO.match(line) for line in said.splitlines())
    return {
        int(one[1]): Pin(
            _FUNCTIONS.get(one[2], one[2].lower()), _PULLS.get(one[3] or "", "")
        )
        for one in found
        if one
    }


def rows(machine: TriedMachine) -> Iterator[ReportRow]:
    """Checks what PiRack takes the pins to be, and touches none."""
    yield _kernel(machine)
    yield from _drivers(machine)
    try:
        found = registers(machine)
    except ToolError as error:
        yield unknown("pulls", str(error))
        yield unknown("buses", str(error))
        return
    yield _pulls(found)
    yield _buses(machine, found)


def usable() -> list[Driver]:
    """Returns the drivers whose module is installed and finds its pins."""
    found = []
    for driver in DRIVERS:
        with contextlib.suppress(PiRackError):
            gpio_machine.here().pins(driver).place()
            found.append(driver)
    return found


def _kernel(machine: TriedMachine) -> ReportRow:
    known = gpio_machine.kernel_keeping()
    seen = f"{'stay' if known.keeps else 'become inputs'}: {known.why}"
    if not machine.raspberry:
        return unknown("outputs whose process ends", NO_PI, seen)
    ours = "rpt" in machine.facts.kernel or "+rpi" in machine.facts.kernel
    return agrees(
        "outputs whose process ends",
        seen,
        expected="Raspberry Pi's kernel keeps them, but for dtparam=strict_gpiod",
        holds=known.keeps or not ours or "strict" in known.why,
    )


def _drivers(machine: TriedMachine) -> Iterator[ReportRow]:
    model = machine.facts.model
    label = next((label for start, label in _LABELS if model.startswith(start)), "")
    label = label or f"pinctrl-bcm{2711 if model.startswith(_LABELS_4) else 2835}"
    for driver in DRIVERS:
        name = f"driver {driver}"
        try:
            place = gpio_machine.here().pins(driver).place()
        except PiRackError as error:
            yield unknown(name, ABSENT if "not installed" in str(error) else str(error))
            continue
        if driver is not Driver.GPIOD or not machine.raspberry:
            yield ok(name, place)
            continue
        yield agrees(name, place, expected=label, holds=label in place)


def _pulls(found: dict[int, Pin]) -> ReportRow:
    """Compares the pulls of unused pins with those on which ``doctor`` relies."""
    free = {n: pin for n, pin in found.items() if n > 1 and pin.function in FREE}
    known = {n: pin.pull for n, pin in free.items() if pin.pull}
    if not known:
        return unknown("pulls", "no pin is free, or its pull is not shown")
    other = [
        f"GPIO{n} {pull}"
        for n, pull in known.items()
        if pull != ("pu" if n < PULLED_UP_BELOW else "pd")
    ]
    seen = f"{len(known)} free pins; otherwise: {', '.join(other) or 'none'}"
    return agrees("pulls", seen, expected="up to GPIO8, down from 9", holds=not other)


def _buses(machine: TriedMachine, found: dict[int, Pin]) -> ReportRow:
    """Compares which pins a bus has with what its device files say."""
    wrong, seen = [], []
    for bus in BUSES:
        on = any((machine.root / path.lstrip("/")).exists() for path in bus.devices)
        busy = [
            n for n in sorted(bus.pins) if found.get(n, Pin("ip")).function not in FREE
        ]
        seen.append(f"{bus.name} {'on' if on else 'off'}, in use {busy or 'none'}")
        if busy and not on:
            wrong.append(bus.name)
    text = "; ".join(seen)
    if wrong:
        return differs(
            "buses", text, "no pin of a bus in use whose device is not there"
        )
    return ok("buses", text)


def configured(machine: TriedMachine, more: Path | None) -> dict[int, str]:
    """Returns which outlet has a pin, by pin, in each configuration of this machine.

    Those are the installed one, those that running processes of PiRack were given, and
    one that is named.

    Raises:
        ConfigError: One is there and cannot be read, so that its pins are not known.
    """
    files = {PRODUCTION, *_of_processes(machine.root)} | ({more} if more else set())
    found: dict[int, str] = {}
    for file in sorted(files):
        try:
            if file == PRODUCTION and not file.exists():
                continue
        except PermissionError:
            pass  # then loading it says so
        try:
            outlets = parse(load(file)).outlets
        except (ConfigError, OSError) as error:
            text = f"which pins the rack has is not known, try sudo: {error}"
            raise ConfigError(text) from error
        found |= {
            row.pin: f"outlet {row.name}" for row in outlets if row.pin is not None
        }
    return found


def _of_processes(root: Path) -> Iterator[Path]:
    for process in (root / "proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        parts = words.split("\0")
        if (
            "pirack" not in words.replace("pirack.on_a_pi", "")
            or "--config" not in parts
        ):
            continue
        if "on_a_pi" in words or "try-on-a-pi" in words:
            continue  # ours
        named = Path(parts[parts.index("--config") + 1])
        with contextlib.suppress(OSError):
            named = (process / "cwd").readlink() / named
        yield named


class BoardBench:
    """This board's pins; see ``Bench``."""

    def __init__(self, machine: TriedMachine) -> None:
        self._machine = machine
        # More of it is used here than the driver's protocol names: edges and infos.
        self._gpiod = cast("Any", gpiod_lines.load())
        self._path, _ = gpiod_lines.find_chip(
            self._gpiod, gpiod_lines.PI_LABELS, gpiod_lines.devices()
        )

    def pin(self, pin: int) -> Pin:
        """Returns what registers and kernel say of a pin."""
        with self._gpiod.Chip(self._path) as chip:
            info = chip.get_line_info(pin)
        known = Pin()
        with contextlib.suppress(ToolError):
            known = registers(self._machine).get(pin, known)
        output = info.direction == self._gpiod.line.Direction.OUTPUT
        return dataclasses.replace(
            known,
            holder=(info.consumer or "the kernel") if info.used else "",
            # The kernel's own note is of the last request; registers are the truth.
            output=output and not known.function,
        )

    @contextlib.contextmanager
    def watch(self, pin: int) -> Iterator[_Watch]:
        """Requests a line with edges of both kinds."""
        line = self._gpiod.line
        settings = self._gpiod.LineSettings(
            direction=line.Direction.INPUT, edge_detection=line.Edge.BOTH
        )
        try:
            request = self._gpiod.request_lines(
                self._path, config={pin: settings}, consumer=CONSUMER
            )
        except OSError as error:
            text = f"GPIO{pin} cannot be watched: {error}"
            raise BenchError(text) from error
        with request:
            yield _Watch(request, pin, line.Value.ACTIVE)

    @contextlib.contextmanager
    def drive(self, driver: Driver, pin: int) -> Iterator[_Driving]:
        """Starts a Python of its own, which has no thread and no line of ours."""
        mine, its = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_be_driver, args=(driver.value, pin, its), daemon=True
        )
        process.start()
        its.close()
        try:
            yield _Driving(mine, process)
        finally:
            process.kill()
            process.join()
            mine.close()

    def keeping(self, driver: Driver) -> OutputKeeping:
        """Returns what the master takes this kernel to do."""
        return gpio_machine.here().keeping(driver)

    def make_input(self, pin: int, pull: str) -> None:
        """Requests a line as an input, and lets go of it."""
        line = self._gpiod.line
        bias = {
            "pu": line.Bias.PULL_UP,
            "pd": line.Bias.PULL_DOWN,
            "pn": line.Bias.DISABLED,
        }.get(pull, line.Bias.AS_IS)
        settings = self._gpiod.LineSettings(direction=line.Direction.INPUT, bias=bias)
        self._gpiod.request_lines(
            self._path, config={pin: settings}, consumer=CONSUMER
        ).release()


class _Watch:
    def __init__(self, request: Any, pin: int, active: object) -> None:  # noqa: ANN401  # a class of gpiod
        self._request, self._pin, self._active = request, pin, active

    def level(self) -> bool:
        return bool(self._request.get_value(self._pin) == self._active)

    def edges(self) -> int:
        count = 0
        while self._request.wait_edge_events(datetime.timedelta(seconds=SETTLE_S)):
            count += len(self._request.read_edge_events())
        return count


class _Driving:
    def __init__(
        self, connection: Connection, process: multiprocessing.process.BaseProcess
    ) -> None:
        self._connection, self._process = connection, process

    def drive(self, *, high: bool) -> bool:
        self._connection.send(high)
        try:
            said = self._connection.recv() if self._connection.poll(ANSWER_S) else None
        except EOFError:
            said = None
        if isinstance(said, bool):
            return said
        raise BenchError(said or "the process that drives the pin does not answer")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _be_driver(driver: str, pin: int, connection: Connection) -> None:
    """Drives a pin as it is told, until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    see_system_packages()
    try:
        pins = gpio_machine.here().pins(Driver(driver))
        while True:
            pins.drive(pin, high=connection.recv())
            connection.send(pins.level(pin))
    except PiRackError as error:
        connection.send(str(error))
