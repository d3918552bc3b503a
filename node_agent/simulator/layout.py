"""Which boards a simulated rack holds, and what each is called; imports nothing heavy.

``pirack up --simulate`` writes the same names as ``[[node]]`` rows for the master.
"""

import msgspec

SIMULATOR = "simulator"
"""User name and client id of the simulator's own link, which takes faults and outlets;
its password stands beside those of the boards."""

MAX_STACKS = 9999
MAX_BOARDS = 64
_SERIAL_BASE = 0x51000000
_ONE_OCTET = 255
_HIGH_STACKS = (127 << 24) | (78 << 16)


class Place(msgspec.Struct, frozen=True, order=True):
    """One board of a simulated rack.

    Args:
        stack: Stack number, from 1.
        slot: Position in the stack, from 1, top first.
    """

    stack: int
    slot: int

    @property
    def serial(self) -> str:
        """Board serial, 16 hex digits, as a Raspberry Pi writes it."""
        return f"{_SERIAL_BASE + self.stack * 256 + self.slot:016x}"

    @property
    def id(self) -> str:
        """Node id: ``pi-`` and the last eight digits of the serial."""
        return f"pi-{self.serial[-8:]}"

    @property
    def name(self) -> str:
        """Display name and hostname, for example ``s03n1``."""
        return f"s{self.stack:02}n{self.slot}"

    @property
    def address(self) -> str:
        """IP address on loopback: ``127.77.<stack>.<slot>`` up to stack 255.

        Higher stacks go where the lower ones are not, in the rest of 127.64.0.0/10.
        """
        if self.stack <= _ONE_OCTET:
            return f"127.77.{self.stack}.{self.slot}"
        value = _HIGH_STACKS + self.stack * 2 * MAX_BOARDS + self.slot
        return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


def boards(stacks: int, boards: int) -> tuple[Place, ...]:
    """List the boards of a rack, stack by stack and top first.

    Args:
        stacks: How many stacks.
        boards: Boards in each stack.

    Raises:
        ValueError: A number is outside what the contract can address.
    """
    if not 0 <= stacks <= MAX_STACKS:
        text = f"stacks is {stacks}; give 0 to {MAX_STACKS}"
        raise ValueError(text)
    if not 1 <= boards <= MAX_BOARDS:
        text = f"boards in a stack is {boards}; give 1 to {MAX_BOARDS}"
        raise ValueError(text)
    return tuple(
        Place(stack, slot)
        for stack in range(1, stacks + 1)
        for slot in range(1, boards + 1)
    )
