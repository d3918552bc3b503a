"""Waiting until the rack is up: every node online, and the page answering."""

import asyncio
import contextlib
import time

import msgspec

from broker.errors import ContractError
from broker.link import Connect, Message, Subscription
from broker.messages import RackState, Verdict, decode
from broker.topics import Topics

LONGEST_S = 60.0
LOOK_S = 0.1


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rack came.

    Args:
        online: Nodes that are online.
        nodes: Nodes that should be.
        page: Whether the page answers.
        took_s: Seconds since the start.
    """

    online: int
    nodes: int
    page: bool
    took_s: float

    def __str__(self) -> str:
        """The last line of the start."""
        page = "the page answers" if self.page else "the page does not answer yet"
        text = f"{self.online} of {self.nodes} online, {page}: {self.took_s:.1f} s."
        if self.page and self.online >= self.nodes:
            return f"Ready. {text}"
        return f"Not all is up. {text} `pirack doctor` says more."


class Counter:
    """Listens to the rack's roll-up."""

    def __init__(self) -> None:
        self.online = 0

    def on_connected(self, session: str) -> None:
        """Nothing to do: the roll-up is retained."""

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the link comes back by itself."""

    def on_message(self, message: Message) -> None:
        """Count who is online."""
        with contextlib.suppress(ContractError):
            totals = decode(message.payload, RackState).totals
            self.online = totals.get(Verdict.ONLINE, 0)


async def wait(
    connect: Connect, topics: Topics, page: tuple[str, int], *, nodes: int, began: float
) -> Readiness:
    """Wait until all is up, at most ``LONGEST_S``; return how far it came.

    Args:
        connect: As somebody who may read the rack's state.
        topics: Of the rack.
        page: Host and port of the page.
        nodes: How many should be online.
        began: When the start began, on the monotonic clock.
    """
    counter = Counter()
    link = connect(
        counter,
        client_id=f"pirack-up-{time.monotonic_ns():x}",
        subscriptions=[Subscription(topics.rack_state, qos=1)],
    )
    await link.start()
    try:
        answers = False
        while True:
            answers = answers or await _answers(*page)
            took_s = time.monotonic() - began
            if (answers and counter.online >= nodes) or took_s > LONGEST_S:
                return Readiness(
                    online=counter.online, nodes=nodes, page=answers, took_s=took_s
                )
            await asyncio.sleep(LOOK_S)
    finally:
        await link.stop()


async def _answers(host: str, port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
