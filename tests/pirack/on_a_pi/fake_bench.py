"""Two pins that a jumper joins, or not, on a kernel of one kind or the other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from master_service.power.drivers.gpio_machine import OutputKeeping
from master_service.power.wiring import PULLED_UP_BELOW
from pirack.on_a_pi.jumper import BenchError, Pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from master_service.rack.settings import Driver


class FakeBench:
    """A bench in memory; see ``Bench``.

    Args:
        joined: Whether the jumper is there.
        keeps: Whether the kernel keeps outputs whose process ends.
        said: What PiRack takes it to do; None: the truth.
    """

    def __init__(
        self, *, joined: bool = True, keeps: bool = True, said: bool | None = None
    ) -> None:
        self.others: dict[int, Pin] = {}
        """What pins are that somebody else has."""
        self.glitches = 0
        """Edges more at each claim of a line."""
        self.fails = ""
        """What every driver says; empty if they work."""
        self.outputs: dict[int, bool] = {}
        self._count = 0
        self.touched: list[int] = []
        self._joined = joined
        self._keeps = keeps
        self._said = keeps if said is None else said

    def pin(self, pin: int) -> Pin:
        """Returns a free pin, an output, or what somebody else has."""
        pull = "pu" if pin < PULLED_UP_BELOW else "pd"
        free = Pin("op" if pin in self.outputs else "ip", pull)
        return self.others.get(pin, free)

    @contextlib.contextmanager
    def watch(self, pin: int) -> Iterator[_FakeWatch]:
        """Looks at a pin, which must not be an output: that would be a short."""
        assert pin not in self.outputs  # the promise of whoever asks
        self.touched.append(pin)
        yield _FakeWatch(self, pin)

    @contextlib.contextmanager
    def drive(self, driver: Driver, pin: int) -> Iterator[_FakeDriving]:  # noqa: ARG002  # all are alike here
        """Drives a pin, until the context ends."""
        made = _FakeDriving(self, pin)
        try:
            yield made
        finally:
            made.kill()

    def keeping(self, driver: Driver) -> OutputKeeping:  # noqa: ARG002  # all are alike here
        """Returns what this was made with."""
        return OutputKeeping(keeps=self._said, why="so it was made")

    def make_input(self, pin: int, pull: str) -> None:  # noqa: ARG002  # it never changed
        """Ends an output."""
        self.outputs.pop(pin, None)

    def level(self, pin: int) -> bool:
        """Returns what a pin that is an input sees."""
        if self._joined and self.outputs:
            return next(iter(self.outputs.values()))
        return pin < PULLED_UP_BELOW

    def put(self, pin: int, high: bool | None) -> None:  # noqa: FBT001  # a level
        """Makes a pin an output at a level; None: an input."""
        before = self.level(pin) if self.outputs or self._joined else False
        if high is None:
            self.outputs.pop(pin, None)
        else:
            self._count += self.glitches if pin not in self.outputs else 0
            self.outputs[pin] = high
        self._count += self._joined and self.level(pin) is not before

    def counted(self) -> int:
        """Returns the edges since the last call."""
        count, self._count = self._count, 0
        return count

    def end(self, pin: int) -> None:
        """Does to an output what the kernel does when its process ends."""
        if not self._keeps and pin in self.outputs:
            self.put(pin, None)


class _FakeWatch:
    def __init__(self, bench: FakeBench, pin: int) -> None:
        self._bench, self._pin = bench, pin

    def level(self) -> bool:
        return self._bench.level(self._pin)

    def edges(self) -> int:
        return self._bench.counted()


class _FakeDriving:
    def __init__(self, bench: FakeBench, pin: int) -> None:
        self._bench, self._pin, self._lives = bench, pin, True

    def drive(self, *, high: bool) -> bool:
        if self._bench.fails:
            raise BenchError(self._bench.fails)
        self._bench.touched.append(self._pin)
        self._bench.put(self._pin, high)
        return high

    def kill(self) -> None:
        if self._lives:
            self._lives = False
            self._bench.end(self._pin)
