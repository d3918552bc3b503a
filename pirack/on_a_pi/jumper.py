"""Two pins joined by a jumper: one is driven by PiRack's drivers, the other watches.

What no emulated board shows: that a driver moves a pin of this board, that claiming a
line makes no glitch (the other pin counts edges in the kernel), and what this kernel
does to an output when its process is killed. Pure but for the bench that is handed in.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from broker.common.errors import PiRackError
from master_service.power.wiring import BUSES, ID_PINS, LAST_PIN, PULLED_UP_BELOW
from master_service.rack.settings import Driver
from pirack.on_a_pi.board import ReportRow, RowResult, agrees, differs, ok, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from master_service.power.drivers.gpio_machine import OutputKeeping

FREE = frozenset({"ip", "no"})
"""Functions of a pin that nothing uses, as ``pinctrl get`` shows them."""
WIRING = (
    "join the two pins by a resistor of 1 kΩ (330 Ω to 2.2 kΩ), which lets 3.3 mA flow "
    "if both should ever be outputs; nothing else on either pin, above all no relay"
)


@dataclasses.dataclass(frozen=True)
class Pin:
    """What a pin is.

    Args:
        function: ``ip``, ``op``, ``a0``, …; ``no`` for none, empty if not known.
        pull: ``pu``, ``pd`` or ``pn``; empty if not known.
        holder: Who has the line; empty: it is free.
        output: Whether the kernel has it as an output.
    """

    function: str = ""
    pull: str = ""
    holder: str = ""
    output: bool = False


class BenchError(PiRackError):
    """A pin, or the process that drives it, did not do what it was told."""


class PinWatch(Protocol):
    """A pin that is an input."""

    def level(self) -> bool:
        """Returns whether it is high."""

    def edges(self) -> int:
        """Returns how often that changed since the last call."""


class Driving(Protocol):
    """A process that drives a pin by one of PiRack's drivers."""

    def drive(self, *, high: bool) -> bool:
        """Drives the pin, and returns whether the driver reads it back as high."""

    def kill(self) -> None:
        """Ends the process as by ``kill -9``."""


class Bench(Protocol):
    """The pins of a board; the contexts end what they began."""

    def pin(self, pin: int) -> Pin:
        """Returns what a pin is, and touches none."""

    def watch(self, pin: int) -> AbstractContextManager[PinWatch]:
        """Makes a pin an input whose edges are counted."""

    def drive(self, driver: Driver, pin: int) -> AbstractContextManager[Driving]:
        """Starts a process that can drive a pin, which it has not touched yet."""

    def keeping(self, driver: Driver) -> OutputKeeping:
        """Returns what PiRack expects of outputs whose process ends."""

    def make_input(self, pin: int, pull: str) -> None:
        """Makes a pin an input with a pull, and releases it."""


def named(text: str) -> tuple[int, int]:
    """Returns the two pins of ``5:6``.

    Raises:
        ValueError: Those are not two pins of the header.
    """
    words = text.split(":")
    right = "write two different BCM numbers from 2 to 27, for example 5:6"
    if len(words) != 2 or not all(w.isascii() and w.isdecimal() for w in words):  # noqa: PLR2004  # two pins
        error = f"{text!r} is not two pins; {right}"
        raise ValueError(error)
    one, other = int(words[0]), int(words[1])
    wrong = [n for n in (one, other) if n in ID_PINS or not 0 <= n <= LAST_PIN]
    if wrong or one == other:
        error = f"{text!r} is not two pins of the header; {right}"
        raise ValueError(error)
    if (one < PULLED_UP_BELOW) is not (other < PULLED_UP_BELOW):
        error = (
            f"{text!r}: the resistors inside the Pi pull GPIO2 to 8 up and GPIO9 to 27 "
            "down, one against the other; take both pins from one group"
        )
        raise ValueError(error)
    return one, other


def refusals(
    pair: Sequence[int],
    bench: Bench,
    *,
    outlets: Mapping[int, str],
    hat: str,
    exists: Callable[[str], bool],
) -> Iterator[str]:
    """Returns why pins are not touched; nothing where they may be.

    Args:
        outlets: Who has a pin in a configuration of this machine, by pin.
        hat: The HAT that the firmware found; empty for none.
    """
    if hat:
        yield f"there is a HAT ({hat}), and which pins it uses cannot be seen"
    for pin in pair:
        if pin in outlets:
            yield f"GPIO{pin} is a pin of {outlets[pin]}"
        for bus in BUSES:
            if pin in bus.pins and any(exists(path) for path in bus.devices):
                yield f"GPIO{pin} is in use by {bus.name}"
        now = bench.pin(pin)
        if now.holder:
            yield f"GPIO{pin} is in use by {now.holder}"
        if now.output or now.function == "op":
            yield f"GPIO{pin} is an output: something drives it"
        elif now.function and now.function not in FREE:
            yield f"GPIO{pin} has a function of its own ({now.function})"
    pulls = {bench.pin(pin).pull for pin in pair}
    if len(pulls) > 1:
        yield f"the pins have different pull resistors ({', '.join(sorted(pulls))})"


def rows(
    pair: tuple[int, int], bench: Bench, drivers: Collection[Driver]
) -> Iterator[ReportRow]:
    """Drives each of two free pins by each driver, and looks at the other one."""
    before = {pin: bench.pin(pin) for pin in pair}
    one, other = pair
    for driver in drivers:
        for source, sink in ((one, other), (other, one)):
            where = f"{driver} {source}→{sink}"
            try:
                yield from _one_way(where, bench, driver, source, sink)
            except PiRackError as error:
                yield differs(where, str(error), "the driver works")
            finally:
                bench.make_input(source, before[source].pull or _reset(driver, source))
    after = {pin: bench.pin(pin) for pin in pair}
    yield agrees(
        "pins left as found",
        "; ".join(f"GPIO{pin} {_shown(after[pin])}" for pin in pair),
        expected="; ".join(f"GPIO{pin} {_shown(before[pin])}" for pin in pair),
        holds=all(_shown(after[pin]) == _shown(before[pin]) for pin in pair),
    )


def _reset(driver: Driver, pin: int) -> str:
    """Returns the pull that a driver took from a pin which cannot be asked for it."""
    if driver is not Driver.RPI_GPIO:
        return ""
    return "pu" if pin < PULLED_UP_BELOW else "pd"


def _one_way(
    where: str, bench: Bench, driver: Driver, source: int, sink: int
) -> Iterator[ReportRow]:
    with bench.watch(sink) as watch:
        with bench.drive(driver, source) as process:
            rest = watch.level()
            moved = not rest
            watch.edges()
            process.drive(high=rest)
            claimed = watch.edges()
            switched = [_switched(process, watch, on) for on in (moved, rest, moved)]
            process.kill()
        jumped, kept, lost = watch.edges(), watch.level() is moved, watch.level()
        works = _switching(where, switched)
        yield works
        if works.result is not RowResult.OK:
            yield unknown(f"{where} claim, end", "the levels did not arrive")
            return
        yield agrees(
            f"{where} claim",
            f"{claimed} edges when the line was claimed at its level",
            expected="none: a relay would hear each",
            holds=claimed == 0,
        )
        known = bench.keeping(driver)
        yield agrees(
            f"{where} end",
            f"after kill -9 {'stays' if kept else 'drops'}, {jumped} edges "
            f"(PiRack: {'stays' if known.keeps else 'drops'}, {known.why})",
            expected="as PiRack takes it to be",
            holds=kept is known.keeps and jumped == (0 if known.keeps else 1),
        )
        with bench.drive(driver, source) as process:
            process.drive(high=lost)
            again = watch.edges()
        yield agrees(
            f"{where} claim again",
            f"{again} edges when a new process claimed it as it was",
            expected="none",
            holds=again == 0,
        )


def _switched(process: Driving, watch: PinWatch, high: bool) -> tuple[bool, bool, int]:  # noqa: FBT001  # a level in a list of levels
    """Returns whether the other pin followed, whether it reads back, and the edges."""
    back = process.drive(high=high)
    edges = watch.edges()
    return watch.level() is high, back is high, edges


def _switching(where: str, switched: Sequence[tuple[bool, bool, int]]) -> ReportRow:
    followed = sum(one for one, _, _ in switched)
    back = sum(one for _, one, _ in switched)
    edges = sum(count for *_, count in switched)
    seen = (
        f"{followed} of {len(switched)} levels arrived, {back} read back, {edges} edges"
    )
    if followed == back == edges == len(switched):
        return ok(where, seen)
    return differs(where, seen, f"{len(switched)} of each; is the jumper there?")


def _shown(pin: Pin) -> str:
    # The kernel makes an input of a pin with no function, which is the same to the pin.
    function = "ip" if pin.function in FREE else pin.function
    return " ".join(filter(None, [function, pin.pull, pin.holder])) or "not known"
