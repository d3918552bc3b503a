"""What two joined pins show, and which pins are never touched."""

from __future__ import annotations

import pytest

from master_service.rack.settings import Driver
from pirack.on_a_pi import jumper
from pirack.on_a_pi.board import ReportRow, RowResult
from pirack.on_a_pi.jumper import Pin
from tests.pirack.on_a_pi.fake_bench import FakeBench

BOTH = (Driver.GPIOD, Driver.RPI_GPIO)


def tried(bench: FakeBench, pair: tuple[int, int] = (5, 6)) -> dict[str, ReportRow]:
    return {row.name: row for row in jumper.rows(pair, bench, BOTH)}


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("pair", [(5, 6), (17, 27)])
def test_a_jumper_and_drivers_that_work_are_ok_both_ways(
    pair: tuple[int, int],
    keeps: bool,  # noqa: FBT001  # a parameter
) -> None:
    bench = FakeBench(keeps=keeps)
    found = tried(bench, pair)
    assert {row.result for row in found.values()} == {RowResult.OK}, found
    assert len(found) == 2 * 2 * 4 + 1
    assert not bench.outputs, "as they were found"
    assert ("stays" if keeps else "drops") in found[
        f"gpiod {pair[0]}→{pair[1]} end"
    ].seen


def test_without_the_jumper_nothing_is_claimed_of_what_it_would_show() -> None:
    found = tried(FakeBench(joined=False))
    assert found["gpiod 5→6"].result is RowResult.DIFFERS
    assert found["gpiod 5→6"].seen == "1 of 3 levels arrived, 3 read back, 0 edges"
    assert "is the jumper there?" in found["gpiod 5→6"].why
    assert found["gpiod 5→6 claim, end"].result is RowResult.UNKNOWN
    assert found["pins left as found"].result is RowResult.OK


def test_a_kernel_that_does_other_than_pirack_takes_it_to_do_differs() -> None:
    found = tried(FakeBench(keeps=False, said=True))
    row = found["rpi-gpio 6→5 end"]
    assert row.result is RowResult.DIFFERS
    assert row.seen.startswith("after kill -9 drops, 1 edges (PiRack: stays")


def test_a_glitch_while_a_line_is_claimed_differs() -> None:
    bench = FakeBench()
    bench.glitches = 2
    row = tried(bench)["gpiod 5→6 claim"]
    assert row.result is RowResult.DIFFERS
    assert row.seen.startswith("2 edges")


def test_a_driver_that_fails_is_a_row_and_leaves_its_pin_an_input() -> None:
    bench = FakeBench()
    bench.fails = "GPIO5: no permission"
    found = tried(bench)
    assert found["gpiod 5→6"].seen == "GPIO5: no permission"
    assert found["gpiod 5→6"].result is RowResult.DIFFERS
    assert not bench.outputs


def test_ctrl_c_leaves_no_pin_an_output() -> None:
    bench = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        tried(bench)
    assert bench.were == {5: True}
    assert not bench.outputs


class Interrupted(FakeBench):
    """A bench at which somebody presses Ctrl-C while a pin is driven."""

    def counted(self) -> int:
        if self.outputs:
            self.were = dict(self.outputs)
            raise KeyboardInterrupt
        return super().counted()


def why(
    bench: FakeBench,
    pair: tuple[int, int] = (5, 6),
    *,
    outlets: dict[int, str] | None = None,
    hat: str = "",
    there: str = "",
) -> str:
    found = jumper.refusals(
        pair,
        bench,
        outlets=outlets or {},
        hat=hat,
        exists=lambda path: path == there,
    )
    return "; ".join(found)


def test_free_pins_are_not_refused_and_looking_touches_none() -> None:
    bench = FakeBench()
    assert why(bench) == ""
    assert bench.touched == []


@pytest.mark.parametrize(
    ("pin", "said"),
    [
        (Pin("ip", "pu", holder="pirack"), "GPIO6 is in use by pirack"),
        (Pin("op", "pu"), "GPIO6 is an output: something drives it"),
        (Pin("", "pu", output=True), "GPIO6 is an output: something drives it"),
        (Pin("a0", "pu"), "GPIO6 has a function of its own (a0)"),
        (Pin("ip", "pd"), "the pins have different pull resistors (pd, pu)"),
    ],
)
def test_a_pin_in_use_is_refused(pin: Pin, said: str) -> None:
    bench = FakeBench()
    bench.others[6] = pin
    assert why(bench) == said


def test_pins_of_outlets_buses_and_hats_are_refused() -> None:
    bench = FakeBench()
    assert (
        why(bench, outlets={5: "outlet stack-1"}) == "GPIO5 is a pin of outlet stack-1"
    )
    assert "in use by SPI" in why(bench, (7, 8), there="/dev/spidev0.0")
    assert why(bench, hat="Pimoroni Relay").startswith(
        "there is a HAT (Pimoroni Relay)"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "is not two pins; write two"),
        ("5", "is not two pins"),
        ("5:6:7", "is not two pins"),
        ("5:-6", "is not two pins"),
        ("5:²", "is not two pins"),
        ("a:b", "is not two pins"),
        ("5:5", "is not two pins of the header"),
        ("1:5", "is not two pins of the header"),
        ("5:28", "is not two pins of the header"),
        ("8:9", "one against the other"),
    ],
)
def test_words_that_name_no_two_pins_are_refused(words: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        jumper.named(words)


def test_two_pins_are_named_by_their_numbers() -> None:
    assert jumper.named("5:6") == (5, 6)
    assert jumper.named("27:17") == (27, 17)
