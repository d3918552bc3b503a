"""A stand-in for the module ``RPi.GPIO``, on pins that write everything down.

It behaves as RPi.GPIO 0.7.1 does, or as rpi-lgpio 0.6 where the two differ: the
numbering must be set first, a channel must be set up before it is used, by this
process, and an output that is set up without ``initial`` glitches, each in its own way.
"""

from collections.abc import Iterable

from master_service.power.stand_in.header import Header, What

INVALID = "The channel sent is invalid on a Raspberry Pi"


class StandInGpio:
    """The module; its attributes are the module's names.

    Args:
        header: The pins.
        lgpio: Behave as rpi-lgpio.
    """

    BOARD = 10
    BCM = 11
    OUT = 0
    IN = 1
    LOW = 0
    HIGH = 1

    def __init__(self, header: Header, *, lgpio: bool = False) -> None:
        self._header = header
        self._lgpio = lgpio
        self._mode: int | None = None
        self._set_up: dict[int, int] = {}

    def setmode(self, mode: int) -> None:
        """Choose the numbering, once; only BCM is known here."""
        if self._mode not in {None, mode}:
            text = "A different mode has already been set!"
            raise ValueError(text)
        if mode != self.BCM:
            text = "An invalid mode was passed to setmode()"
            raise ValueError(text)
        self._mode = mode

    def setwarnings(self, value: bool) -> None:  # noqa: FBT001  # as in RPi.GPIO
        """Take that nobody wants to be warned; there are no warnings here."""

    def setup(
        self, channel: int, direction: int, *, initial: int | None = None
    ) -> None:
        """Make a channel an input or an output."""
        pin = self._pin(channel)
        if direction == self.IN:
            self._header.do(What.INPUT, pin)
        elif initial is not None:
            self._header.do(What.OUTPUT, pin, high=bool(initial))
        elif self._lgpio:
            # gpio_read claims a line that is not ours as an input first.
            self._header.do(What.INPUT, pin)
            self._header.do(What.OUTPUT, pin, high=self._header.level(pin))
        else:
            self._header.do(What.OUTPUT_AS_LATCHED, pin)
        self._set_up[pin] = direction

    def output(self, channel: int, value: int) -> None:
        """Set the level of an output."""
        pin = self._pin(channel)
        if self._set_up.get(pin) != self.OUT:
            text = "The GPIO channel has not been set up as an OUTPUT"
            raise RuntimeError(text)
        self._header.do(What.LEVEL, pin, high=bool(value))

    def input(self, channel: int) -> int:
        """Read the level of a channel that was set up."""
        pin = self._pin(channel)
        if pin not in self._set_up:
            text = "You must setup() the GPIO channel first"
            raise RuntimeError(text)
        high = self._header.level(pin)
        self._header.do(What.READ, pin, high=high)
        return int(high)

    def cleanup(self, channels: Iterable[int] | None = None) -> None:
        """Make channels inputs: every relay on them moves."""
        for pin in list(self._set_up) if channels is None else channels:
            self._header.do(What.CLEANUP, pin)
            self._set_up.pop(pin, None)

    def _pin(self, channel: int) -> int:
        if self._mode is None:
            text = (
                "Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or "
                "GPIO.setmode(GPIO.BCM)"
            )
            raise RuntimeError(text)
        if not 0 <= channel < self._header.pins:
            raise ValueError(INVALID)
        return channel
