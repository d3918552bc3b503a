"""Every payload of the contract as a frozen struct; units live in the field names."""

from broker.contract.messages.codec import (
    MAX_PAYLOAD_BYTES,
    Wire,
    check_size,
    decode,
    encode,
)
from broker.contract.messages.command import (
    DEFAULT_TTL_S,
    Command,
    OnFailure,
    Order,
    Phase,
    Reply,
    Result,
    RowCode,
    TargetRow,
)
from broker.contract.messages.event import Event, EventKind
from broker.contract.messages.install import (
    InstallBoard,
    InstallStack,
    InstallState,
    ScanPhase,
)
from broker.contract.messages.node import (
    Ability,
    Details,
    Heartbeat,
    Status,
    Throttled,
    ThrottleFlag,
)
from broker.contract.messages.state import (
    Askable,
    Lock,
    MasterDetails,
    NodeState,
    Power,
    RackState,
    Running,
    StackState,
    Verdict,
)

__all__ = [
    "DEFAULT_TTL_S",
    "MAX_PAYLOAD_BYTES",
    "Ability",
    "Askable",
    "Command",
    "Details",
    "Event",
    "EventKind",
    "Heartbeat",
    "InstallBoard",
    "InstallStack",
    "InstallState",
    "Lock",
    "MasterDetails",
    "NodeState",
    "OnFailure",
    "Order",
    "Phase",
    "Power",
    "RackState",
    "Reply",
    "Result",
    "RowCode",
    "Running",
    "ScanPhase",
    "StackState",
    "Status",
    "TargetRow",
    "ThrottleFlag",
    "Throttled",
    "Verdict",
    "Wire",
    "check_size",
    "decode",
    "encode",
]
