"""Lines that outlive the master: pirack-powerd and the master as processes.

The pins are the stand-in's, in a file that both kill -9 and an end leave as it is. The
kernel in question drops outputs, which is shown first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, cast

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power import rack_outlets
from master_service.power.drivers.gpio import GpioOutlets, PinLevels, RelayWiring
from master_service.power.drivers.gpio_machine import VARIABLE
from master_service.power.drivers.gpiod_lines import GpiodPins
from master_service.power.outlets import PowerFatalError, PowerRetryableError
from master_service.power.powerd_client import PowerdOutlets
from master_service.power.simulated_pins import PinAction, SimulatedHeader
from master_service.rack.settings import Driver, OutletRow, Settings
from tests.gpio_stand_ins import StandInGpiod, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

pytestmark = pytest.mark.system

PINS = {"stack-1": 17, "stack-2": 5}
CONFIGURATION = """\
[power]
holder = "{folder}/powerd.sock"
holder_dir = "{folder}/held"
[master]
data_dir = "{folder}/master"
""" + "".join(
    f'[[outlet]]\nname = "{name}"\ndriver = "gpiod"\nstack = {number}\npin = {pin}\n'
    f"active_low = true\n"
    for number, (name, pin) in enumerate(PINS.items(), start=1)
)
MASTER = """\
import asyncio, sys
from pathlib import Path
from broker.common.config import load
from broker.contract.messages import Power
from master_service.power import rack_outlets
from master_service.power.drivers import gpio_machine
from master_service.power.wiring import read

async def main():
    settings = read(load(Path(sys.argv[1])))
    machine = gpio_machine.here()
    outlets = rack_outlets.outlets(settings, machine=machine, plug_link=None)
    for name in ("stack-1", "stack-2"):
        await outlets.claim(name, Power.UNKNOWN)
    await outlets.switch("stack-1", on=True)
    on = False
    while True:
        print("ready", flush=True)
        await outlets.switch("stack-2", on=on)
        on = not on

asyncio.run(main())
"""


class Site:
    """A folder with a configuration, and the processes on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "pirack.toml"
        self.configuration.write_text(CONFIGURATION.format(folder=folder))
        self.journal = folder / "pins.jsonl"
        self.outlets = PowerdOutlets(folder / "powerd.sock", tuple(PINS))
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *command, str(self.configuration)],
            env={**os.environ, VARIABLE: str(self.journal)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def powerd(self) -> subprocess.Popen[str]:
        main = "from master_service.power.powerd import main; raise SystemExit(main())"
        return self.start("-c", main, "--config")

    def master(self) -> subprocess.Popen[str]:
        process = self.start("-c", MASTER)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    async def until_held(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    await self.outlets.read("stack-1")
                except PowerRetryableError:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def until_still(self) -> None:
        """Wait until nobody moves a pin any more."""
        async with asyncio.timeout(30):
            while True:
                before = self.header.calls
                await asyncio.sleep(0.2)
                if self.header.calls == before:
                    return

    @property
    def header(self) -> SimulatedHeader:
        """The pins as they are now, and all that was done to them."""
        return SimulatedHeader(path=self.journal)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate(timeout=30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


async def test_without_it_such_a_kernel_drops_the_relay(tmp_path: Path) -> None:
    """Why it is there: an active-high relay on a pulled-down pin goes off."""
    header = SimulatedHeader(persists=False)
    module = StandInGpiod(header)
    pins = GpiodPins(cast("ModuleType", module), paths=lambda: module.chips)
    wires = {"stack-1": RelayWiring(17, active_low=False)}
    outlets = GpioOutlets(pins, wires, PinLevels(tmp_path / "pins.json"))
    await outlets.claim("stack-1", Power.ON)
    await outlets.close()
    assert header.level(17) is False


def test_a_master_that_would_drop_its_lines_does_not_start() -> None:
    row = OutletRow(name="a", driver=Driver.GPIOD, stack=1, pin=17, active_low=True)
    machine = stand_in(SimulatedHeader(persists=False), keeps=False)
    with pytest.raises(ConfigError, match=r"run pirack-powerd and name its socket"):
        rack_outlets.outlets(
            Settings(outlets=(row,)),
            machine=machine,
            plug_link=lambda: pytest.fail("door"),
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_the_master_at_any_moment_moves_no_pin(
    site: Site, number: signal.Signals
) -> None:
    site.powerd()
    await site.until_held()
    for delay_s in (0.0, 0.003, 0.011, 0.02, 0.05):
        master = site.master()
        time.sleep(delay_s)  # noqa: ASYNC251  # nothing else is to run
        master.send_signal(number)
        master.wait(30)
        await site.until_still()  # what was asked last is still done
        assert site.header.level(PINS["stack-1"]) is False, "on, and active low"
        assert await site.outlets.read("stack-1") is Power.ON
    assert not [call for call in site.header.calls if call.what is PinAction.RELEASE]
    moved = [edge for edge in site.header.edges if edge.pin == PINS["stack-1"]]
    assert moved == [], "stack 1 was on from the start"


async def test_the_next_master_finds_every_outlet_as_it_was(site: Site) -> None:
    site.powerd()
    await site.until_held()
    await site.outlets.switch("stack-1", on=False)
    edges = len(site.header.edges)
    again = PowerdOutlets(site.folder / "powerd.sock", tuple(PINS))
    await again.claim("stack-1", Power.ON)  # an older record
    assert await again.read("stack-1") is Power.OFF
    assert len(site.header.edges) == edges


async def test_when_it_must_start_again_it_claims_each_line_at_its_level(
    site: Site,
) -> None:
    powerd = site.powerd()
    await site.until_held()
    await site.outlets.switch("stack-1", on=False)
    await site.outlets.switch("stack-2", on=True)
    powerd.kill()
    powerd.wait(30)
    before = len(site.header.calls)
    site.powerd()
    await site.until_held()
    claims = site.header.calls[before:]
    first = {call.pin: call for call in reversed(claims)}
    assert first[17].what is first[5].what is PinAction.OUTPUT, (
        "direct, no input before"
    )
    assert (first[17].high, first[5].high) == (True, False)
    assert await site.outlets.read("stack-1") is Power.OFF
    assert await site.outlets.read("stack-2") is Power.ON


async def test_there_is_only_one(site: Site) -> None:
    site.powerd()
    await site.until_held()
    second = site.powerd()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 3
    assert "in use by pirack-powerd, process" in said
    assert await site.outlets.read("stack-1") in set(Power)


async def test_it_says_no_word_to_whoever_talks_nonsense(site: Site) -> None:
    site.powerd()
    await site.until_held()
    path = str(site.folder / "powerd.sock")
    for nonsense in (b"\n", b"{}\n", b"x" * 100_000 + b"\n", b'{"do":"explode"}\n'):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(nonsense)
        with contextlib.suppress(ConnectionError):  # hung up on before it had all
            assert await reader.read() == b""
        writer.close()
    with pytest.raises(PowerFatalError, match="no outlet"):
        await PowerdOutlets(site.folder / "powerd.sock", ("x",)).read("x")
    assert await site.outlets.read("stack-1") in set(Power)


async def test_without_it_the_master_says_what_is_missing(site: Site) -> None:
    with pytest.raises(PowerRetryableError, match="pirack-powerd does not answer"):
        await site.outlets.switch("stack-1", on=True)
