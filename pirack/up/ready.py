"""Waiting until the rack is up: every node online or off, and the page answering."""

import asyncio
import contextlib
import time

import msgspec

from broker.client.link import Connect, Message, Subscription
from broker.common.errors import ContractError
from broker.contract.messages import MasterDetails, RackState, Verdict, decode
from broker.contract.topics import Fixed, FixedTopic, NodeLeaf, NodeTopic, Topics

LONGEST_S = 60.0
LOOK_S = 0.1
CLOCK_S = 0.5
"""Rounding between the monotonic clock and the wall's."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rack came.

    Args:
        online: Nodes that are online.
        nodes: Nodes that the rack has.
        page: Whether the page answers.
        took_s: Seconds since the start.
        off: Nodes whose power is off on purpose; they do not come online.
    """

    online: int
    nodes: int
    page: bool
    took_s: float
    off: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.page and self.online + self.off >= self.nodes

    def __str__(self) -> str:
        """The last line of the start."""
        page = "the page answers" if self.page else "the page does not answer yet"
        off = f", {self.off} off on purpose" if self.off else ""
        text = (
            f"{self.online} of {self.nodes} online{off}, {page}: {self.took_s:.1f} s."
        )
        if self.complete:
            return f"Ready. {text}"
        return f"Not all is up. {text} `pirack doctor` says more."


class Counter:
    """Counts who is online: so the new master says, and so says the node itself.

    What the broker kept from the last run counts for nothing.

    Args:
        topics: Of the rack.
        since: Unix time of this start: the master must be younger, seconds.
    """

    def __init__(self, topics: Topics, since: float) -> None:
        self._topics = topics
        self._since = since
        self._master_is_new = False
        self._judged = 0
        self._off = 0
        self._heard: set[str] = set()

    @property
    def online(self) -> int:
        """How many nodes are online."""
        return min(self._judged, len(self._heard))

    @property
    def off(self) -> int:
        """How many nodes are without power on purpose."""
        return self._off

    def subscriptions(self) -> tuple[Subscription, ...]:
        """Returns what must be heard."""
        topics = self._topics
        return (
            Subscription(topics.rack_state, qos=1),
            Subscription(topics.master_details, qos=1),
            Subscription(topics.node("+", NodeLeaf.HEARTBEAT)),
        )

    def on_connected(self, session: str) -> None:
        """Nothing to do: what is retained comes by itself."""

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the link comes back by itself."""

    def on_message(self, message: Message) -> None:
        """Takes a sign of life or a judgement."""
        with contextlib.suppress(ContractError):
            match self._topics.parse(message.topic):
                case NodeTopic(node=node):
                    self._heard.add(node)
                case FixedTopic(which=Fixed.MASTER_DETAILS):
                    details = decode(message.payload, MasterDetails)
                    self._master_is_new = details.started >= self._since
                case FixedTopic(which=Fixed.RACK_STATE) if self._master_is_new:
                    totals = decode(message.payload, RackState).totals
                    self._judged = totals.get(Verdict.ONLINE, 0)
                    self._off = totals.get(Verdict.OFF, 0)


async def wait(
    connect: Connect, topics: Topics, page: tuple[str, int], *, nodes: int, began: float
) -> Readiness:
    """Waits until all is up, at most ``LONGEST_S``; returns how far it came.

    Args:
        connect: As somebody who may read the rack's state.
        topics: Of the rack.
        page: Host and port of the page.
        nodes: How many the rack has.
        began: When the start began, on the monotonic clock.
    """
    took_s = time.monotonic() - began
    counter = Counter(topics, since=time.time() - took_s - CLOCK_S)
    link = connect(
        counter,
        client_id=f"pirack-up-{time.monotonic_ns():x}",
        subscriptions=counter.subscriptions(),
    )
    await link.start()
    try:
        answers = False
        while True:
            answers = answers or await _answers(*page)
            took_s = time.monotonic() - began
            seen = Readiness(
                online=counter.online,
                nodes=nodes,
                page=answers,
                took_s=took_s,
                off=counter.off,
            )
            if seen.complete or took_s > LONGEST_S:
                return seen
            await asyncio.sleep(LOOK_S)
    finally:
        await link.stop()


async def _answers(host: str, port: int) -> bool:
    """Returns whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
