"""The benches of the contract suite of ``tests/system/power`` on a board's own pins.

A plugin of pytest, for a run without the conftest files of the tree. A driver that
loses its lines as by ``kill -9`` is one whose file descriptors are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from master_service.power.drivers import gpio_machine, rpi_gpio
from master_service.power.drivers.gpio import GpioOutlets, PinLevels
from master_service.power.powerd import PowerDaemon
from master_service.power.powerd_client import PowerdOutlets
from master_service.rack.settings import Driver
from tests.system.machines.on_a_pi.registers import Registers, Trace
from tests.system.power.benches import NAMES, WIRES, holder_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from master_service.power.outlets import Outlets

PINS = [wire.pin for wire in WIRES.values()]
LINES = "anon_inode:gpio-line"
"""How the kernel names the descriptor of a line that was requested, or begins to."""
DROPS = "this kernel makes a line an input when its holder ends; the master refuses it"
"""Why the promise of the contract about ends is kept by pirack-powerd alone."""
BENCHES = os.environ["PI_DRIVERS"].split(",")
HELD = "gpiod held by pirack-powerd"
if "gpiod" in BENCHES:
    BENCHES.append(HELD)
ENDS = ("test_an_end_and_a_new_start_move_nothing",)


class PiBench:
    """Two relays on the board's pins; see ``PowerBench``."""

    outlets: Outlets

    def __init__(self, folder: Path, registers: Registers, trace: Trace) -> None:
        self.folder = folder
        self._registers = registers
        self._trace = trace
        trace.drain()
        self._kept: list[int] = []
        self._seen = {pin: [registers.wire(pin)] for pin in PINS}

    async def begin(self) -> None:
        self._look()

    def level(self, outlet: str) -> bool:
        self._look()
        wire = WIRES[outlet]
        return self._registers.wire(wire.pin) is not wire.active_low

    def moves(self, outlet: str) -> int:
        self._look()
        seen = self._seen[WIRES[outlet].pin]
        return sum(a is not b for a, b in itertools.pairwise(seen))

    def break_down(self, outlet: str) -> None:
        """Makes the kernel refuse further calls on a line, which stays as it is."""
        if not lines():
            pytest.skip("RPi.GPIO writes to registers, which refuse nothing")
        line = lines()[NAMES.index(outlet)]
        self._kept.append(os.dup(line))
        let_go(line)

    def _close(self) -> None:
        for descriptor in self._kept:
            os.close(descriptor)

    def _look(self) -> None:
        """Adds what the kernel did to the pins since, and what they are now."""
        for event in self._trace.drain():
            if event.what == "value" and event.pin in self._seen:
                self._seen[event.pin].append(bool(event.number))
        for pin, seen in self._seen.items():
            seen.append(self._registers.wire(pin))


class DriverBench(PiBench):
    """A driver in this process."""

    def __init__(
        self, folder: Path, registers: Registers, trace: Trace, driver: Driver
    ) -> None:
        super().__init__(folder, registers, trace)
        self._driver = driver
        self.outlets = self._make()

    async def restart(self) -> None:
        self._look()
        drop(self._driver)
        self._look()
        self.outlets = self._make()

    async def end(self) -> None:
        self._close()
        await self.outlets.close()
        drop(self._driver)

    def _make(self) -> GpioOutlets:
        ledger = PinLevels(self.folder / "pins.json")
        return GpioOutlets(gpio_machine.here().pins(self._driver), WIRES, ledger)


class HolderBench(PiBench):
    """pirack-powerd in this process, on its socket."""

    def __init__(self, folder: Path, registers: Registers, trace: Trace) -> None:
        super().__init__(folder, registers, trace)
        self._socket = self.folder / "powerd.sock"
        settings = holder_settings(self._socket, self.folder / "held")
        self._holder = PowerDaemon(settings, gpio_machine.here())
        self.outlets = PowerdOutlets(self._socket, NAMES)

    async def begin(self) -> None:
        await self._holder.start()
        self._look()

    async def restart(self) -> None:
        self._look()
        self.outlets = PowerdOutlets(self._socket, NAMES)

    async def end(self) -> None:
        self._close()
        await self._holder.stop()
        drop(Driver.GPIOD)


def lines() -> list[int]:
    """Returns the descriptors of this process's lines, the first claimed first."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself, by now
            if str(entry.readlink()).startswith(LINES):
                found.append(int(entry.name))
    return sorted(found)


@contextlib.contextmanager
def forked(work: Callable[[Callable[[], object]], None]) -> Iterator[int]:
    """Does something in a child of this process, which knows all it imported.

    A process that starts from nothing takes seconds on an emulated board. The child
    has been killed at the end.

    Args:
        work: What; it is handed what it calls once it is ready, and goes on.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work(lambda: os.write(write, b"ready"))
        os._exit(1)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as said:
            assert said.read(1), "the child failed"
        yield child
    finally:
        kill(child)


def kill(child: int) -> None:
    """Kills a child, and waits until it is gone; twice is fine."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def let_go(line: int) -> None:
    """Closes a line behind its owner, who still has a descriptor that he may close."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, line)
    os.close(null)


def drop(driver: Driver) -> None:
    """Closes every line of this process, as its end would."""
    if driver is Driver.RPI_GPIO and rpi_gpio.held_by_kernel():
        from RPi import GPIO  # noqa: PLC0415  # not there where gpiod alone is tried

        GPIO.cleanup()
    for line in lines():
        let_go(line)


@pytest.fixture(scope="session")
def registers() -> Registers:
    return Registers()


@pytest.fixture(scope="session")
def trace() -> Trace:
    return Trace()


@pytest.fixture(params=BENCHES)
async def power_bench(
    request: pytest.FixtureRequest, tmp_path: Path, registers: Registers, trace: Trace
) -> AsyncIterator[PiBench]:
    """A bench, whose promise about ends is broken where the kernel breaks it."""
    made: DriverBench | HolderBench
    if request.param == HELD:
        made = HolderBench(tmp_path, registers, trace)
    else:
        driver = Driver(request.param)
        if not gpio_machine.here().keeping(driver).keeps and cast(
            "pytest.Function", request.node
        ).originalname.startswith(ENDS):
            request.applymarker(pytest.mark.xfail(reason=DROPS, strict=True))
        made = DriverBench(tmp_path, registers, trace, driver)
    async with asyncio.timeout(60):
        await made.begin()
        yield made
        await made.end()
