"""What is on disk about commands, outlets and the rack, one struct for each row.

A row that ends or removes another one is a row too: ``Persist`` takes any of them.
"""

import msgspec

from broker.contract.messages import Lock, Phase, Power
from master_service.rack.registry import NodeRecord


class TargetRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One target of a command.

    Args:
        key: Of its row: the node's id, or the outlet that feeds no board.
        name: What people call it.
        boot_id: The boot it ran when it was told; what proves another one.
        told: It was told already.
        phase: Where it stands.
        error: Why it is not done.
        verified: Its effect was seen.
        unproven: Why it is cut without evidence that it is down; empty: there is some.
    """

    key: str
    name: str
    boot_id: str = ""
    told: bool = False
    phase: Phase = Phase.ACCEPTED
    error: str = ""
    verified: bool = False
    unproven: str = ""


class PartRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command, or the share of a power command that one outlet is.

    Args:
        id: Of the command.
        verb: Of the command.
        scope: As asked.
        args: As asked.
        asked: Unix time it was received, seconds.
        by: Who asked.
        inbox: MQTT 5 response topic of the asker.
        correlation: MQTT 5 correlation data of the asker.
        outlet: Of this share; empty: this is the whole command.
        action: What is asked of the outlet.
        step: How far the outlet is.
        before: The level the outlet had.
        wanted: What the outlet should have been before; empty: as ``before``.
        alone: Whether it comes on only when no other outlet is coming on.
        targets: Its targets.
        asked_at: When it was received, monotonic seconds of that boot of the machine;
            None: an earlier release wrote it.
    """

    id: str
    verb: str
    scope: str
    args: tuple[str, ...] = ()
    asked: float = 0.0
    by: str = ""
    inbox: str = ""
    correlation: bytes = b""
    outlet: str = ""
    action: str = ""
    step: str = ""
    before: str = ""
    wanted: str = ""
    alone: bool = False
    targets: tuple[TargetRecord, ...] = ()
    asked_at: float | None = None

    @property
    def key(self) -> str:
        """What it is stored under."""
        return f"{self.id}/{self.outlet}"


class OutletRecord(msgspec.Struct, frozen=True):
    """What is on disk about one outlet.

    Args:
        name: Of the outlet.
        wanted: What it should be.
        level: What it was last read as; unknown after a switching without an answer.
        changed: Unix time it was last switched, seconds; 0: never.
        owed: It must come on, and is tried until it is on.
        switched: The master has switched it. Only then is its level claimed at a start;
            one that was merely read is left as it is.
    """

    name: str
    wanted: Power
    level: Power = Power.UNKNOWN
    changed: float = 0.0
    owed: bool = False
    switched: bool = False


class CommandBegun(msgspec.Struct, frozen=True):
    """The id of a destructive command, which must not run a second time."""

    id: str


class CommandEnded(msgspec.Struct, frozen=True):
    """Removes every ``PartRecord`` of a command that has had its last word."""

    id: str


class Tombstone(msgspec.Struct, frozen=True):
    """A node that was forgotten.

    Args:
        node: Its id.
        lifted: The node may come back: the tombstone is removed.
    """

    node: str
    lifted: bool = False


class LockEnd(msgspec.Struct, frozen=True):
    """Removes the lock on a node or a stack."""

    scope: str


class BootRecord(msgspec.Struct, frozen=True):
    """Which boot of this machine the master runs in."""

    boot_id: str


Record = (
    NodeRecord
    | OutletRecord
    | PartRecord
    | Lock
    | CommandBegun
    | CommandEnded
    | Tombstone
    | LockEnd
    | BootRecord
)
