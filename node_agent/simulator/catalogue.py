"""The makes of board a simulated rack is built of, as real ones describe themselves."""

import msgspec

from node_agent.board import BoardFacts
from node_agent.simulator.chance import mix, share
from node_agent.simulator.layout import MAX_BOARDS, Place


class Make(msgspec.Struct, frozen=True):
    """One kind of board.

    Args:
        model: As the device tree spells it.
        oui: First half of its hardware address.
        memory_bytes: What Linux sees of it.
        kernel: Release its Raspberry Pi OS runs.
        count: How many of ten boards are of this make.
    """

    model: str
    oui: str
    memory_bytes: int
    kernel: str
    count: int


_V8 = "6.12.34+rpt-rpi-v8"
_2712 = "6.12.34+rpt-rpi-2712"

MAKES = (
    Make("Raspberry Pi 3 Model B Rev 1.2", "b8:27:eb", 949_895_168, _V8, 2),
    Make("Raspberry Pi 3 Model B Plus Rev 1.3", "b8:27:eb", 949_895_168, _V8, 2),
    Make("Raspberry Pi 4 Model B Rev 1.4", "dc:a6:32", 3_980_263_424, _V8, 3),
    Make("Raspberry Pi 4 Model B Rev 1.5", "e4:5f:01", 8_190_087_168, _V8, 2),
    Make("Raspberry Pi 5 Model B Rev 1.0", "d8:3a:dd", 8_452_784_128, _2712, 1),
)
_DISKS_BYTES = (15_552_110_592, 31_267_487_744, 62_725_623_808)
_CPU_COUNT = 4


def make_of(seed: int) -> Make:
    """Return the make of the board with this seed."""
    drawn = share(seed, 40) * sum(make.count for make in MAKES)
    for make in MAKES:
        drawn -= make.count
        if drawn < 0:
            return make
    return MAKES[-1]


def facts_of(place: Place, seed: int) -> BoardFacts:
    """Return what the board says of itself, without a boot id: it has not booted.

    Args:
        place: Where it is; its serial and the tail of its hardware address follow.
        seed: Of the board.
    """
    make = make_of(seed)
    return BoardFacts(
        boot_id="",
        hostname=place.name,
        model=make.model,
        serial=place.serial,
        macs=(_mac(make.oui, int(place.serial[-6:], 16)),),
        addresses=(place.address,),
        os="Raspberry Pi OS 12 (bookworm)",
        kernel=make.kernel,
        architecture="aarch64",
        cpu_count=_CPU_COUNT,
        memory_bytes=make.memory_bytes,
        disk_bytes=_DISKS_BYTES[mix(seed, 41) % len(_DISKS_BYTES)],
        clock_synced=True,
        simulated=True,
    )


def twin_of(place: Place, seed: int) -> BoardFacts:
    """Return another board that claims the same serial, as a cloned identity does.

    Its hostname and addresses are its own; that is how the clone is found out.

    Args:
        place: Whose identity is claimed.
        seed: Of the board that is claimed to be.
    """
    facts = facts_of(place, seed)
    elsewhere = Place(place.stack, place.slot + MAX_BOARDS)
    tail = 0x800000 | mix(seed, 42) & 0x7FFFFF
    return msgspec.structs.replace(
        facts,
        hostname=f"{facts.hostname}-clone",
        macs=(_mac(make_of(seed).oui, tail),),
        addresses=(elsewhere.address,),
    )


def _mac(oui: str, tail: int) -> str:
    return ":".join((oui, *(f"{tail >> shift & 0xFF:02x}" for shift in (16, 8, 0))))
