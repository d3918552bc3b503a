"""The outlets of a configuration: the right drivers, one process at a time."""

import os
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power import rack_outlets
from master_service.power.drivers.gpio_machine import VARIABLE, GpioMachine, here
from master_service.power.outlets import PowerFatalError
from master_service.power.simulated_pins import PinAction, PinCall, SimulatedHeader
from master_service.rack.settings import (
    CommandsRow,
    Driver,
    MasterSettings,
    OutletRow,
    PlugRow,
    PowerSettings,
    Preset,
    Settings,
)
from tests.gpio_stand_ins import stand_in


def settings(folder: Path, *rows: OutletRow, holder: str = "") -> Settings:
    return Settings(
        master=MasterSettings(data_dir=str(folder)),
        power=PowerSettings(holder=holder),
        outlets=rows,
    )


def pin(name: str, number: int, driver: Driver = Driver.RPI_GPIO) -> OutletRow:
    return OutletRow(name=name, driver=driver, pin=number, active_low=False)


def no_door() -> rack_outlets.PlugLink:
    pytest.fail("there is no plug")


async def test_every_outlet_has_the_driver_of_its_row(tmp_path: Path) -> None:
    header, broker = SimulatedHeader(), FakeBroker()
    outlets = rack_outlets.outlets(
        settings(
            tmp_path,
            OutletRow(name="fake", stack=1),
            pin("rpi", 17),
            pin("line", 27, Driver.GPIOD),
            OutletRow(
                name="plug",
                driver=Driver.MQTT,
                plug=PlugRow(preset=Preset.ESPHOME, device="strip", channel="a"),
            ),
            OutletRow(
                name="own",
                driver=Driver.COMMAND,
                commands=CommandsRow(on="a", off="b", status="c"),
            ),
        ),
        machine=stand_in(header),
        plug_link=lambda: rack_outlets.PlugLink(broker.connect, "power"),
    )
    for name in ("rpi", "line"):
        await outlets.claim(name, Power.ON)
    assert header.calls == [PinCall(PinAction.OUTPUT, p, high=True) for p in (17, 27)]
    assert await outlets.read("fake") is Power.ON
    await outlets.claim("own", Power.ON)
    await outlets.claim("plug", Power.ON)
    assert broker.clients() == ["power"]
    with pytest.raises(PowerFatalError, match="known: fake, line, own, plug, rpi"):
        await outlets.read("other")
    await outlets.close()
    assert broker.clients() == []


async def test_making_and_closing_touches_nothing(tmp_path: Path) -> None:
    header = SimulatedHeader()
    outlets = rack_outlets.outlets(
        settings(tmp_path, pin("rpi", 17)), machine=stand_in(header), plug_link=no_door
    )
    await outlets.close()
    assert header.calls == []


async def test_two_processes_never_switch_the_same_outlets(tmp_path: Path) -> None:
    """The lock belongs to an open file: two in one process exclude each other."""
    header = SimulatedHeader()
    first, second = (
        rack_outlets.outlets(
            settings(tmp_path, pin("rpi", 17)),
            machine=stand_in(header),
            plug_link=no_door,
            who=who,
        )
        for who in ("pirack master", "pirack power test")
    )
    await first.claim("rpi", Power.ON)
    calls = list(header.calls)
    for attempt in (
        second.claim("rpi", Power.OFF),
        second.switch("rpi", on=False),
        second.read("rpi"),
    ):
        with pytest.raises(PowerFatalError, match="in use by pirack master, process"):
            await attempt
    assert header.calls == calls
    await first.close()
    await second.claim("rpi", Power.ON)
    await second.close()


def owners(folder: Path) -> dict[str, int]:
    return {one.name: one.stat().st_uid for one in folder.iterdir()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_switches_leaves_no_file_that_the_master_cannot_write(
    tmp_path: Path,
) -> None:
    os.chown(tmp_path, 1234, 1234)
    outlets = rack_outlets.outlets(
        settings(tmp_path, OutletRow(name="fake", stack=1), pin("rpi", 17)),
        machine=stand_in(SimulatedHeader()),
        plug_link=no_door,
    )
    for name in ("fake", "rpi"):
        await outlets.switch(name, on=False)
    await outlets.close()
    assert owners(tmp_path) == dict.fromkeys(
        (rack_outlets.FAKE_FILE, rack_outlets.LEVELS_FILE, rack_outlets.LOCK_FILE), 1234
    )


def test_a_pin_of_a_bus_in_use_stops_the_start(tmp_path: Path) -> None:
    machine = stand_in(SimulatedHeader())
    busy = GpioMachine(machine.pins, machine.keeping, lambda path: path == "/dev/i2c-1")
    with pytest.raises(ConfigError, match=r"'a': GPIO2 is in use by I2C"):
        rack_outlets.outlets(
            settings(tmp_path, pin("a", 2)), machine=busy, plug_link=no_door
        )


def test_lines_that_end_with_the_master_need_their_holder(tmp_path: Path) -> None:
    machine = stand_in(SimulatedHeader(), keeps=False)
    row = pin("a", 17, Driver.GPIOD)
    with pytest.raises(ConfigError, match="every restart of the master would move"):
        rack_outlets.outlets(
            settings(tmp_path, row), machine=machine, plug_link=no_door
        )
    held = settings(tmp_path, row, holder="/run/pirack-powerd/socket")
    rack_outlets.outlets(held, machine=machine, plug_link=no_door)


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has pins")
def test_off_a_raspberry_pi_the_missing_module_is_named(tmp_path: Path) -> None:
    for driver in (Driver.RPI_GPIO, Driver.GPIOD):
        rows = settings(tmp_path, pin("a", 17, driver), holder="")
        with pytest.raises(ConfigError, match=r"pip install|does not work|restart"):
            rack_outlets.outlets(rows, machine=here({}), plug_link=no_door)


async def test_the_environment_can_put_stand_ins_in_place(tmp_path: Path) -> None:
    journal = tmp_path / "pins.jsonl"
    machine = here({VARIABLE: str(journal)})
    outlets = rack_outlets.outlets(
        settings(tmp_path, pin("a", 17)), machine=machine, plug_link=no_door
    )
    await outlets.switch("a", on=True)
    await outlets.close()
    assert SimulatedHeader(path=journal).level(17) is True
