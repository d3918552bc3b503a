"""Whether a master is running, as its broker says."""

import asyncio
import contextlib
import uuid

from broker.client.link import ONLINE, Connect, Message, Subscription
from broker.contract.topics import Topics

CONNECT_S = 3.0
LISTEN_S = 0.5
"""How long a retained status may take to come."""


class _Ear:
    def __init__(self) -> None:
        self.heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on_connected(self, session: str) -> None:
        """What is retained comes by itself."""

    def on_disconnected(self, reason: str) -> None:
        """Whoever waits gives up by itself."""

    def on_message(self, message: Message) -> None:
        if not self.heard.done():
            self.heard.set_result(message.payload)


async def master_runs(
    connect: Connect, topics: Topics, *, connect_s: float = CONNECT_S
) -> bool | None:
    """Return whether a master is online; None: there is no broker to ask.

    Args:
        connect: As somebody who may read its status.
        topics: Of the rack.
        connect_s: How long the broker may take, seconds.
    """
    ear = _Ear()
    link = connect(
        ear,
        client_id=f"pirack-power-{uuid.uuid4().hex[:8]}",
        subscriptions=[Subscription(topics.master_status)],
    )
    try:
        await link.start()
        if not await link.wait_connected(connect_s):
            return None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_S):
                return await ear.heard == ONLINE
        return False
    finally:
        await link.stop()
