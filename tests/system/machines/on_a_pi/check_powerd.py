"""``pirack-powerd`` and the master's side of it as processes, on a board's own pins."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.common.config import load
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power import rack_outlets
from master_service.power.drivers import gpio_machine
from master_service.power.drivers.gpio_machine import kernel_keeping
from master_service.power.outlets import PowerRetryableError
from master_service.power.powerd import PowerDaemon
from master_service.power.powerd_client import PowerdOutlets
from master_service.power.wiring import read
from master_service.rack.settings import Settings
from tests.system.machines.on_a_pi.benches import forked, kill
from tests.system.machines.on_a_pi.check_pins import DRIVERS, PINS, WIRES
from tests.system.machines.on_a_pi.registers import Pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.machines.on_a_pi.registers import Registers, Trace

POWERD = str(Path(sys.executable).parent / "pirack-powerd")
READY_S = 200.0


def be_master(settings: Settings, ready: Callable[[], object]) -> None:
    """Claims the outlets as the master does, and switches one of them for ever."""

    async def switch() -> None:
        outlets = rack_outlets.outlets(
            settings, machine=gpio_machine.here(), plug_link=no_plugs
        )
        for row in settings.outlets:
            await outlets.claim(row.name, Power.UNKNOWN)
        for number in itertools.count():
            await outlets.switch("stack-1", on=number % 2 == 1)
            if number == 2:
                ready()

    asyncio.run(switch())


def no_plugs() -> rack_outlets.PlugLink:
    raise NotImplementedError  # none of the outlets is a plug on MQTT


class Site:
    """A configuration with twelve outlets, by both drivers, and processes on it."""

    def __init__(self, folder: Path) -> None:
        self.configuration = folder / "pirack.toml"
        drivers = [DRIVERS[number // 2 % len(DRIVERS)] for number in range(len(WIRES))]
        rows = [
            f'[[outlet]]\nname = "{name}"\ndriver = "{drivers[number - 1]}"\n'
            f"stack = {number}\n"
            f"pin = {wire.pin}\nactive_low = {str(wire.active_low).lower()}\n"
            for number, (name, wire) in enumerate(WIRES.items(), start=1)
        ]
        self.configuration.write_text(
            f'[power]\nholder = "{folder}/powerd.sock"\nholder_dir = "{folder}/held"\n'
            f'[master]\ndata_dir = "{folder}/master"\n' + "".join(rows)
        )
        self.outlets = PowerdOutlets(folder / "powerd.sock", tuple(WIRES))
        self._lock = folder / "held" / rack_outlets.LOCK_FILE
        self._processes: list[subprocess.Popen[str]] = []

    def powerd(self) -> subprocess.Popen[str]:
        words = [POWERD, "--config", str(self.configuration)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self._processes.append(process)
        return process

    async def until_held(self) -> None:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    await self.outlets.read("stack-1")
                except PowerRetryableError:
                    await asyncio.sleep(0.05)
                else:
                    return

    def has_the_lock(self, powerd: subprocess.Popen[str]) -> bool:
        return f"process {powerd.pid}\n" in self._lock.read_text()

    def settings(self) -> Settings:
        return read(load(self.configuration))

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate(timeout=30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


def high(name: str, level: Power) -> bool:
    return (level is Power.ON) is not WIRES[name].active_low


def pins(registers: Registers) -> dict[int, Pin]:
    return {pin: registers.pin(pin) for pin in PINS}


async def watched(
    site: Site, powerd: subprocess.Popen[str], registers: Registers
) -> dict[int, list[Pin]]:
    """Each state of an output that could be seen until powerd answers.

    Nothing else is done than to look, once it has its lock: then it claims its lines.
    """
    deadline = time.monotonic() + READY_S
    while not site.has_the_lock(powerd):
        assert time.monotonic() < deadline, powerd.poll()
        await asyncio.sleep(0.005)
    seen: dict[int, list[Pin]] = {pin: [] for pin in PINS}
    samples, held = 0, asyncio.ensure_future(site.until_held())
    while not held.done():
        await asyncio.sleep(0)
        samples += 1
        for pin, states in seen.items():
            state = registers.pin(pin)
            if state.output and state not in states:
                states.append(state)
    await held
    assert samples > 10
    return seen


async def test_it_outlives_the_master_and_claims_its_lines_again_without_a_glitch(
    site: Site, registers: Registers, trace: Trace
) -> None:
    """One story, as each start of a process takes a second here."""
    before = pins(registers)
    powerd = site.powerd()
    await site.until_held()
    assert pins(registers) == before, "nobody switched one yet"
    wanted = {
        name: Power.ON if number % 3 else Power.OFF for number, name in enumerate(WIRES)
    }
    for name, level in wanted.items():
        await site.outlets.switch(name, on=level is Power.ON)
    expected = {
        wire.pin: Pin(output=True, high=high(name, wanted[name]))
        for name, wire in WIRES.items()
    }
    assert pins(registers) == expected
    with pytest.raises(ConfigError, match="in use by pirack-powerd, process"):
        await PowerDaemon(site.settings(), gpio_machine.here()).start()

    # The master's side comes, is killed while it switches one outlet, and comes again.
    first = WIRES["stack-1"].pin
    trace.drain()
    for _ in range(3):
        with forked(partial(be_master, site.settings())) as master:
            kill(master)
        await site.outlets.read("stack-1")  # what was asked last is done
    moved = [event.pin for event in trace.drain() if event.pin in PINS]
    assert set(moved) == {first}
    assert len(moved) >= 9
    assert pins(registers) | {first: expected[first]} == expected
    await site.outlets.switch("stack-1", on=wanted["stack-1"] is Power.ON)

    powerd.kill()
    powerd.wait(30)
    if kernel_keeping().keeps:
        assert pins(registers) == expected
    else:
        assert not any(state.output for state in pins(registers).values())
        # A line that became an output before its level was set would put out this.
        for pin, state in expected.items():
            registers.latch(pin, high=not state.high)
    trace.drain()
    seen = await watched(site, site.powerd(), registers)
    assert seen == {pin: [state] for pin, state in expected.items()}
    claims: dict[int, list[bool]] = {pin: [] for pin in PINS}
    for event in trace.drain():
        if event.what == "value" and event.pin in PINS:
            claims[event.pin].append(bool(event.number))
    assert claims == {pin: [state.high] for pin, state in expected.items()}
    for name, level in wanted.items():
        assert await site.outlets.read(name) is level
