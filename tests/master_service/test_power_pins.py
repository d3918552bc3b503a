"""Every call on a pin, in order: what a relay hears when the master starts and ends."""

import asyncio
import re
import time
from pathlib import Path

import msgspec
import pytest

from broker.contract.messages import Power
from master_service.power.drivers import gpio
from master_service.power.drivers.gpio import GpioOutlets, PinLevels, RelayWiring
from master_service.power.drivers.gpio_machine import kernel_keeping
from master_service.power.drivers.gpiod_lines import find_chip
from master_service.power.drivers.rpi_gpio import RpiPins
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import PowerFatalError
from master_service.power.simulated_pins import (
    PinAction,
    PinCall,
    PinEdge,
    SimulatedHeader,
)
from master_service.rack.settings import Driver
from tests.gpio_stand_ins import StandInGpio, StandInGpiod, stand_in

LOW_ACTIVE = {"stack-1": RelayWiring(5, active_low=True)}
HIGH_ACTIVE = {"stack-1": RelayWiring(17, active_low=False)}


def outlets(
    header: SimulatedHeader,
    wires: dict[str, RelayWiring],
    ledger: PinLevels | None = None,
) -> GpioOutlets:
    return GpioOutlets(RpiPins(StandInGpio(header)), wires, ledger or PinLevels())


@pytest.mark.parametrize("driver", [Driver.RPI_GPIO, Driver.GPIOD])
@pytest.mark.parametrize(
    ("wires", "level", "high"),
    [
        (LOW_ACTIVE, Power.ON, False),
        (LOW_ACTIVE, Power.OFF, True),
        (HIGH_ACTIVE, Power.ON, True),
        (HIGH_ACTIVE, Power.OFF, False),
    ],
)
async def test_a_claim_is_one_call_with_direction_and_level(
    driver: Driver, wires: dict[str, RelayWiring], level: Power, *, high: bool
) -> None:
    header = SimulatedHeader()
    made = GpioOutlets(stand_in(header).pins(driver), wires, PinLevels())
    await made.claim("stack-1", level)
    assert header.calls == [PinCall(PinAction.OUTPUT, wires["stack-1"].pin, high)]


async def test_a_whole_life_makes_no_input_and_cleans_nothing_up() -> None:
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE)
    await made.claim("stack-1", Power.ON)
    await made.switch("stack-1", on=False)
    await made.read("stack-1")
    await made.switch("stack-1", on=True)
    await made.close()
    assert [(call.what, call.high) for call in header.calls] == [
        (PinAction.OUTPUT, False),
        (PinAction.LEVEL, True),
        (PinAction.READ, True),
        (PinAction.LEVEL, False),
    ]
    assert header.level(5) is False, "the relay stays as it is"


async def test_a_level_that_nobody_knows_leaves_the_pin_alone() -> None:
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE)
    await made.claim("stack-1", Power.UNKNOWN)
    assert await made.read("stack-1") is Power.UNKNOWN
    assert header.calls == []
    await made.switch("stack-1", on=False)
    assert header.calls == [PinCall(PinAction.OUTPUT, 5, high=True)]


async def test_gpiod_looks_at_a_line_without_touching_it() -> None:
    header = SimulatedHeader()
    made = GpioOutlets(stand_in(header).pins(Driver.GPIOD), LOW_ACTIVE, PinLevels())
    await made.claim("stack-1", Power.UNKNOWN)
    assert await made.read("stack-1") is Power.OFF, "pulled up, active low"
    assert header.edges == []
    await made.switch("stack-1", on=True)
    assert header.edges == [PinEdge(5, high=False)]


async def test_the_level_is_on_disk_before_the_pin_moves(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    on_disk: list[object] = []

    class Watched(SimulatedHeader):
        def do(self, what: PinAction, pin: int, *, high: bool | None = None) -> None:
            on_disk.append(msgspec.json.decode(path.read_bytes()))
            super().do(what, pin, high=high)

    made = outlets(Watched(), LOW_ACTIVE, PinLevels(path))
    await made.claim("stack-1", Power.ON)
    await made.switch("stack-1", on=False)
    assert on_disk == [{"stack-1": "on"}, {"stack-1": "off"}]


async def test_a_pin_does_not_move_when_the_level_cannot_be_put_on_disk(
    tmp_path: Path,
) -> None:
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE, PinLevels(tmp_path / "no" / "folder"))
    with pytest.raises(PowerFatalError, match="not switched, for the level cannot"):
        await made.switch("stack-1", on=False)
    assert header.calls == []


async def test_outlets_that_claim_at_the_same_time_read_the_ledger_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pins.json"
    path.write_text('{"stack-1": "off"}')
    read, reads = gpio._read, []  # noqa: SLF001  # the disk is what is slow here

    def slow(one: Path) -> dict[str, Power]:
        reads.append(one)
        found = read(one)
        time.sleep(0.05)
        return found

    monkeypatch.setattr(gpio, "_read", slow)
    ledger = PinLevels(path)
    first = asyncio.create_task(ledger.write("stack-1", Power.ON))
    others = [ledger.level(f"stack-{n}") for n in (1, 2, 3)]
    await asyncio.gather(first, *others)
    assert len(reads) == 1
    assert await ledger.level("stack-1") is Power.ON


@pytest.mark.parametrize("torn", [b"", b"{broken", b"\0" * 64])
async def test_a_torn_ledger_is_put_aside_and_the_database_decides(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pins.json"
    path.write_bytes(torn)
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE, PinLevels(path))
    await made.claim("stack-1", Power.OFF)
    assert await made.read("stack-1") is Power.OFF
    assert msgspec.json.decode(path.read_bytes()) == {"stack-1": "off"}
    aside = path.with_suffix(".broken")
    assert aside.read_bytes() == torn
    assert f"put aside as {aside}" in caplog.text


async def test_a_torn_ledger_moves_no_pin_of_which_nothing_is_known(
    tmp_path: Path,
) -> None:
    (tmp_path / "pins.json").write_bytes(b"")
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE, PinLevels(tmp_path / "pins.json"))
    await made.claim("stack-1", Power.UNKNOWN)
    assert header.edges == []


async def test_a_torn_file_of_fake_outlets_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "fake-outlets.json"
    path.write_bytes(b"")
    fake = FakeOutlets(path, ("stack-1",))
    await fake.claim("stack-1", Power.ON)
    await fake.switch("stack-1", on=False)
    assert await fake.read("stack-1") is Power.OFF
    assert path.with_suffix(".broken").read_bytes() == b""


async def test_a_pin_that_fails_is_not_written_down_as_moved(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    header = SimulatedHeader()
    made = outlets(header, LOW_ACTIVE, PinLevels(path))
    await made.claim("stack-1", Power.ON)
    header.broken.add(5)
    with pytest.raises(PowerFatalError, match=r"GPIO5: .*group gpio"):
        await made.switch("stack-1", on=False)
    assert msgspec.json.decode(path.read_bytes()) == {"stack-1": "on"}


@pytest.mark.parametrize("lgpio", [False, True])
def test_the_stand_in_glitches_where_the_real_ones_do(*, lgpio: bool) -> None:
    """An active-high relay that is on, from an earlier process, on a pulled-down pin.

    Its level was set before; ``setup`` without ``initial`` must not be used.
    """
    header = SimulatedHeader()
    header.do(PinAction.OUTPUT, 17, high=True)
    header.edges.clear()
    module = StandInGpio(header, lgpio=lgpio)
    module.setmode(module.BCM)
    module.setup(17, module.OUT)
    assert header.edges == ([PinEdge(17, high=False)] if lgpio else [])
    module.cleanup()
    assert header.edges == [PinEdge(17, high=False)]


def test_the_stand_in_refuses_what_the_real_one_refuses() -> None:
    module = StandInGpio(SimulatedHeader())
    with pytest.raises(RuntimeError, match="set pin numbering mode"):
        module.setup(17, module.OUT, initial=1)
    with pytest.raises(ValueError, match="invalid mode"):
        module.setmode(module.BOARD)
    module.setmode(module.BCM)
    with pytest.raises(ValueError, match="different mode"):
        module.setmode(module.BOARD)
    with pytest.raises(ValueError, match="channel sent is invalid"):
        module.setup(54, module.OUT, initial=1)
    with pytest.raises(RuntimeError, match="set up as an OUTPUT"):
        module.output(17, 1)
    with pytest.raises(RuntimeError, match="must setup"):
        module.input(17)


def test_a_header_with_a_file_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "pins.jsonl"
    SimulatedHeader(path=path).do(PinAction.OUTPUT, 17, high=True)
    again = SimulatedHeader(path=path)
    assert (again.level(17), again.is_output(17)) == (True, True)
    assert again.calls == [PinCall(PinAction.OUTPUT, 17, high=True)]


async def test_a_line_that_somebody_else_has_is_not_taken() -> None:
    header = SimulatedHeader()
    pins = stand_in(header).pins(Driver.GPIOD)
    other = StandInGpiod(header)
    pins.drive(5, high=True)
    held = pins._module.held  # type: ignore[attr-defined]  # noqa: SLF001  # the kernel's view
    held.add(6)
    with pytest.raises(PowerFatalError, match=r"GPIO6: .*busy.*gpioinfo"):
        pins.drive(6, high=True)
    assert other.held == set()


def test_the_chip_is_found_by_label_whatever_its_number() -> None:
    module = StandInGpiod(
        SimulatedHeader(),
        {"/dev/gpiochip0": "brcmvirt-gpio", "/dev/gpiochip11": "pinctrl-bcm2711"},
    )
    paths = ["/dev/gpiochip0", "/dev/gpiochip10", "/dev/gpiochip11"]
    labels = ("pinctrl-rp1", "pinctrl-bcm2711")
    found = find_chip(module, labels, paths)  # type: ignore[arg-type]  # its enumerations are its own
    assert found == ("/dev/gpiochip11", "pinctrl-bcm2711")
    with pytest.raises(PowerFatalError, match=r"pinctrl-rp1; found: brcmvirt-gpio"):
        find_chip(module, ("pinctrl-rp1",), paths[:1])  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("files", "keeps", "why"),
    [
        ({}, False, "no persist_gpio_outputs"),
        ({"pinctrl_bcm2835/persist_gpio_outputs": "Y\n"}, True, "persist.*=Y"),
        ({"pinctrl_bcm2835/persist_gpio_outputs": "N\n"}, False, "persist.*=N"),
        (
            {
                "pinctrl_bcm2835/persist_gpio_outputs": "Y\n",
                "pinctrl_rp1/persist_gpio_outputs": "N\n",
            },
            False,
            "pinctrl_rp1",
        ),
        ({"pinctrl_rp1/strict_gpiod": "N\n"}, True, "strict_gpiod=N"),
        ({"pinctrl_rp1/strict_gpiod": "Y\n"}, False, "strict_gpiod=Y"),
    ],
)
def test_the_kernel_is_asked_whether_it_keeps_outputs(
    tmp_path: Path, files: dict[str, str], why: str, *, keeps: bool
) -> None:
    for name, content in files.items():
        module, parameter = name.split("/")
        path = tmp_path / module / "parameters" / parameter
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    found = kernel_keeping(tmp_path)
    assert found.keeps is keeps
    assert re.search(why, found.why)
