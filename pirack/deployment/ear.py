"""Hears the rack over MQTT: which boards there are, and each agent's first words."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable

from broker.client.link import Link, Message, Subscription
from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import ContractError, LinkError
from broker.contract.messages import Details, NodeState, Status, decode
from broker.contract.topics import NodeLeaf, NodeTopic
from pirack.rack_config import OPERATOR, RackAccess
from pirack.rack_picture import cleaned

CONNECT_S = 5.0
QUIET_S = 0.3
"""Without one: what is retained has come."""
SETTLE_S = 3.0
"""At most waited for that."""
SELDOM_S = 15.0
"""Who beats less often is believed when it says ``online``."""


class Ear:
    """Keeps what the nodes say; enter it to listen.

    Args:
        house: The rack.
    """

    def __init__(self, house: RackAccess) -> None:
        self._house = house
        self._link: Link | None = None
        self._news = asyncio.Event()
        self._retained = 0
        self._beats: dict[str, int] = {}
        self._status: dict[str, bytes] = {}
        self.deaf = ""
        """Why nobody can be heard just now; empty while all can."""
        self.details: dict[str, Details] = {}
        """By node id."""
        self.states: dict[str, NodeState] = {}
        """What the master thinks of them."""

    async def __aenter__(self) -> "Ear":
        """Connect, and take in what is retained.

        Raises:
            ConfigError: The operator's credentials cannot be read.
            LinkError: The broker cannot be reached.
        """
        endpoint, topics = self._house.local_endpoint(OPERATOR), self._house.topics
        await check_connection(endpoint)
        self._link = connector(endpoint)(
            self,
            client_id=f"pirack-deploy-{uuid.uuid4().hex[:8]}",
            subscriptions=[
                Subscription(topics.node("+", leaf), qos=qos)
                for leaf, qos in (
                    (NodeLeaf.DETAILS, 1),
                    (NodeLeaf.STATUS, 1),
                    (NodeLeaf.STATE, 1),
                    (NodeLeaf.HEARTBEAT, 0),
                )
            ],
        )
        await self._link.start()
        if not await self._link.wait_connected(CONNECT_S):
            await self._link.stop()
            text = f"the broker took no connection within {CONNECT_S:g} s"
            raise LinkError(text)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._quiet()
        return self

    async def __aexit__(self, *reason: object) -> None:
        """Disconnect."""
        if self._link is not None:
            await self._link.stop()

    def session(self, node: str) -> str:
        """Return the session a node spoke of last; empty: it never did."""
        known = self.details.get(node)
        return known.session if known else ""

    async def newborn(self, node: str, *, after: str) -> str:
        """Wait for the details of another session; return the agent's version."""
        await self._until(lambda: self.session(node) not in {"", after})
        return self.details[node].agent_version

    async def alive(self, node: str) -> str:
        """Wait for a heartbeat from now on; return the agent's version."""
        before = self._beats.get(node, 0)
        await self._until(
            lambda: (
                node in self.details
                and (self._beats.get(node, 0) > before or self._seldom(node))
            )
        )
        return self.details[node].agent_version

    def _seldom(self, node: str) -> bool:
        online = self._status.get(node) == Status.ONLINE.encode()
        return online and self.details[node].interval_s > SELDOM_S

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._news.wait()

    async def _quiet(self) -> None:
        before = -1
        while before != self._retained:
            before = self._retained
            await asyncio.sleep(QUIET_S)

    def on_connected(self, session: str) -> None:
        """Hear again; what is retained comes by itself."""
        del session
        self.deaf = ""

    def on_disconnected(self, reason: str) -> None:
        """Remember why; the link comes back by itself."""
        self.deaf = f"the broker is away: {reason}"

    def on_message(self, message: Message) -> None:
        """Take it in; the master counts and reports what does not decode."""
        with contextlib.suppress(ContractError):
            address = self._house.topics.parse(message.topic)
            if isinstance(address, NodeTopic):
                self._take(address.node, address.leaf, message.payload)
        waiting, self._news = self._news, asyncio.Event()
        waiting.set()  # everybody looks, and waits for the next one

    def _take(self, node: str, leaf: NodeLeaf, payload: bytes) -> None:
        self._retained += leaf is not NodeLeaf.HEARTBEAT
        match leaf:
            case NodeLeaf.HEARTBEAT:
                self._beats[node] = self._beats.get(node, 0) + 1
            case NodeLeaf.STATUS:
                self._status[node] = payload
            case NodeLeaf.DETAILS if payload:
                self.details[node] = cleaned(decode(payload, Details))
            case NodeLeaf.STATE if payload:
                self.states[node] = cleaned(decode(payload, NodeState))
            case NodeLeaf.STATE:
                self.states.pop(node, None)
            case _:
                pass
