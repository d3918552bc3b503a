"""The table of every topic: who writes it, how, and what it carries.

``docs/protocol.md`` is rendered from it, and a test compares it with the parser.
"""

import msgspec

from broker.contract.messages import (
    Command,
    Details,
    Event,
    Heartbeat,
    InstallStack,
    InstallState,
    MasterDetails,
    NodeState,
    Order,
    RackState,
    Reply,
    Result,
    StackState,
    Status,
    Wire,
)
from broker.contract.topics import NodeLeaf, Topics

EXAMPLE = Topics("lab")
NODE = "pi-51000302"
_N = "<id>"
_SCOPE = "<scope>"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of topic.

    Args:
        topic: Below the prefix, with ``<…>`` for what varies.
        writer: Who publishes it.
        retained: Whether the broker stores it.
        qos: As it is published.
        payload: The struct it carries; Status for plain text.
        about: A sentence.
    """

    topic: str
    writer: str
    retained: bool
    qos: int
    payload: type[Wire | Status]
    about: str


def _below(topic: str) -> str:
    return topic.removeprefix(f"{EXAMPLE.prefix}/")


def _node(leaf: NodeLeaf) -> str:
    return _below(EXAMPLE.node(_N, leaf))


ROWS: tuple[Row, ...] = (
    Row(
        topic=_node(NodeLeaf.STATUS),
        writer="node; the broker, as its will; the master only for a node it declares "
        "dead or forgets",
        retained=True,
        qos=1,
        payload=Status,
        about="Presence. MQTT 5 user property `session` names the connection.",
    ),
    Row(
        topic=_node(NodeLeaf.DETAILS),
        writer="node",
        retained=True,
        qos=1,
        payload=Details,
        about="What changes rarely: hardware, system, addresses, abilities.",
    ),
    Row(
        topic=_node(NodeLeaf.HEARTBEAT),
        writer="node",
        retained=False,
        qos=0,
        payload=Heartbeat,
        about="Vitals, every `interval_s`.",
    ),
    Row(
        topic=_node(NodeLeaf.ORDER),
        writer="master",
        retained=False,
        qos=1,
        payload=Order,
        about="What the node shall do. A stored one is never obeyed.",
    ),
    Row(
        topic=_node(NodeLeaf.RESULT),
        writer="node",
        retained=False,
        qos=1,
        payload=Result,
        about="What became of an order.",
    ),
    Row(
        topic=_node(NodeLeaf.STATE),
        writer="master",
        retained=True,
        qos=1,
        payload=NodeState,
        about="The master's verdict on the node, its name and place.",
    ),
    Row(
        topic=_below(EXAMPLE.stack("<n>")),
        writer="master",
        retained=True,
        qos=1,
        payload=StackState,
        about="A stack: its place, outlet and worst verdict.",
    ),
    Row(
        topic=_below(EXAMPLE.rack_state),
        writer="master",
        retained=True,
        qos=1,
        payload=RackState,
        about="The rack as a whole.",
    ),
    Row(
        topic=_below(EXAMPLE.install_state),
        writer="master",
        retained=True,
        qos=1,
        payload=InstallState,
        about="Progress of an install run.",
    ),
    Row(
        topic=_below(EXAMPLE.install_stack("<n>")),
        writer="master",
        retained=True,
        qos=1,
        payload=InstallStack,
        about="A stack in the latest install run, board by board.",
    ),
    Row(
        topic=_below(EXAMPLE.event),
        writer="master",
        retained=False,
        qos=1,
        payload=Event,
        about="One line of the rack's history.",
    ),
    Row(
        topic=_below(EXAMPLE.master_status),
        writer="master; the broker, as its will",
        retained=True,
        qos=1,
        payload=Status,
        about="Presence of the master.",
    ),
    Row(
        topic=_below(EXAMPLE.master_details),
        writer="master",
        retained=True,
        qos=1,
        payload=MasterDetails,
        about="Who the master is; nodes receive it too.",
    ),
    Row(
        topic=f"{_SCOPE}/cmd/<verb>",
        writer="anyone with the right",
        retained=False,
        qos=1,
        payload=Command,
        about="Asks for something. Empty, plain words, or JSON. A stored one is never "
        "obeyed.",
    ),
    Row(
        topic=f"{_SCOPE}/reply/<verb>",
        writer="master; for scope `sim` the simulator",
        retained=False,
        qos=1,
        payload=Reply,
        about="The receipt.",
    ),
    Row(
        topic=_below(EXAMPLE.inbox("client")).replace("client", "<client>"),
        writer="master",
        retained=False,
        qos=1,
        payload=Reply,
        about="The last word of the receipt, with every row, for a command whose MQTT "
        "5 response topic is exactly this; correlation data comes back.",
    ),
)
