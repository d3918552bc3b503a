"""Two boards with one id, and clocks that are wrong: faults with a name; pure.

Cloned cards are the usual cause. A broker that sees one client id twice ends the older
connection, so two such boards throw each other off in turn: boot ids, serials, MACs or
sessions that come back after another took their place are the proof.
"""

from broker.contract.messages import Details
from master_service.rack.node import RackNode

DUPLICATE_ID = "duplicate identity"
CLOCK = "clock skew"
DUPLICATE_MEMORY_S = 300.0
"""How long a duplicate stays a fault after its last sign, seconds."""
RETURNS_OF_SESSION = 2
"""A session that comes back once may be a message that was on its way."""
SHARED = 2
"""Nodes with one hostname, from which on it is shared."""


class Identities:
    """Detects duplicate ids and shared host names."""

    def __init__(self) -> None:
        self._past: dict[str, list[Details]] = {}
        self._returns: dict[str, int] = {}
        self._seen_at: dict[str, float] = {}
        self._hosts: dict[str, set[str]] = {}

    def duplicate(self, node: RackNode, details: Details, now: float) -> str:
        """Returns why these details show a second board with this id, or nothing.

        Args:
            node: The board as it was known until now.
        """
        past = self._past.setdefault(node.id, [])
        text = _other_board(past, details, node.id) if past else ""
        if not past or _hardware(past[-1]) != _hardware(details):
            self._past[node.id] = [*past, details][-2:]
        if text:
            self._seen_at[node.id] = now
        return text

    def session_returned(self, node: RackNode, now: float) -> bool:
        """Counts a beat of the session before; returns whether two boards send them."""
        count = self._returns.get(node.id, 0) + 1
        self._returns[node.id] = count
        if count < RETURNS_OF_SESSION:
            return False
        self._seen_at[node.id] = now
        return True

    def over(self, node: RackNode, now: float) -> bool:
        """Returns whether the last sign of a duplicate is long ago, or never was."""
        seen = self._seen_at.get(node.id)
        if seen is not None and now - seen < DUPLICATE_MEMORY_S:
            return False
        self._seen_at.pop(node.id, None)
        self._returns.pop(node.id, None)
        return True

    def hostname(self, node: RackNode, hostname: str) -> str:
        """Takes a host name; returns a line when a second board has it, else nothing.

        Equal host names are not a fault: cards flashed from one image have them, and
        boards are told apart by their ids.
        """
        before = node.details.hostname if node.details is not None else ""
        if before and before != hostname:
            self._leave(node.id, before)
        there = self._hosts.setdefault(hostname, set())
        new = node.id not in there
        there.add(node.id)
        if not new or len(there) != SHARED:
            return ""
        (other,) = there - {node.id}
        return (
            f"hostname {hostname!r} is also that of {other}; this is said once, and no "
            "fault: PiRack goes by the id"
        )

    def forget(self, node: RackNode) -> None:
        """Drops a board."""
        for memory in (self._past, self._returns, self._seen_at):
            memory.pop(node.id, None)
        self._leave(node.id, node.details.hostname if node.details else "")

    def _leave(self, node_id: str, hostname: str) -> None:
        there = self._hosts.get(hostname, set())
        there.discard(node_id)
        if not there:
            self._hosts.pop(hostname, None)


def clock_skew(skew_s: float, *, allowed_s: float, standing: bool) -> str:
    """Returns that a board's clock is wrong; empty: it is not.

    Args:
        skew_s: Its time less the master's, seconds.
        allowed_s: From which it is a fault.
        standing: It is one already; then it ends at half of that, not at once.
    """
    if abs(skew_s) <= (allowed_s / 2 if standing else allowed_s):
        return ""
    side = "ahead of" if skew_s > 0 else "behind"
    return f"its clock is {abs(skew_s):.0f} s {side} the master's"


def _hardware(details: Details) -> tuple[str, tuple[str, ...], str]:
    return details.serial, details.macs, details.boot_id


def _other_board(past: list[Details], new: Details, node_id: str) -> str:
    """Returns how the board before the last, which is back, differs from the last.

    A board that changed for good (a new network card, the card in another board) does
    not come back; one boot of one board is not a turn either.
    """
    older, last = past[0], past[-1]
    if not older.boot_id == new.boot_id != last.boot_id:
        return ""
    if last.serial and new.serial and last.serial != new.serial:
        return f"serials {last.serial} and {new.serial} both say they are {node_id}"
    if last.macs and new.macs and not set(last.macs) & set(new.macs):
        return f"boards {last.macs[0]} and {new.macs[0]} both say they are {node_id}"
    return f"boot ids {last.boot_id[:8]} and {new.boot_id[:8]} take turns as {node_id}"


def changed(last: Details | None, new: Details) -> str:
    """Returns which hardware a board has in the place of another, or nothing.

    Args:
        last: What it said before; None: nothing.
    """
    if last is None:
        return ""
    if last.serial and new.serial and last.serial != new.serial:
        return (
            f"it runs on another board: serial {last.serial} before, now {new.serial}"
        )
    if last.macs and new.macs and not set(last.macs) & set(new.macs):
        return f"its network card changed: {last.macs[0]} before, now {new.macs[0]}"
    return ""
