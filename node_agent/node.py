"""A node on the bus: presence, details, heartbeats, and orders obeyed and answered.

``Node`` is the agent, and the base class to write a node of one's own that does more.
"""

import random
import time
from collections.abc import Callable, Mapping

from broker.link import Connect
from broker.messages import MasterDetails
from broker.topics import Topics
from node_agent.actions import Actions
from node_agent.board import Board
from node_agent.orders import OrderMemory
from node_agent.runner import Runner


class Node:
    """One node on the bus; start it, and it lives until it is stopped.

    Args:
        node_id: Stable id, ``pi-`` and eight hex digits.
        board: The machine it speaks for.
        actions: The aliases it obeys.
        runner: What runs them.
        connect: Makes its link to the broker.
        topics: Of its rack.
        interval_s: Seconds between heartbeats.
        memory: Remembers obeyed orders, also across a reboot.
        clock: Monotonic clock, seconds.
        rng: Source of the random delays.
    """

    def __init__(
        self,
        node_id: str,
        *,
        board: Board,
        actions: Actions,
        runner: Runner,
        connect: Connect,
        topics: Topics,
        interval_s: float = 10.0,
        memory: OrderMemory | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to connect and to beat; returns at once and never gives up."""
        raise NotImplementedError

    async def stop(self, reason: str = "stopped") -> None:
        """Say why in details, say offline, disconnect; twice is fine.

        Args:
            reason: Published in details before ``offline``.
        """
        raise NotImplementedError

    async def extra(self) -> Mapping[str, float]:
        """Return numbers of one's own, to go out with every heartbeat; override it."""
        return {}

    def on_master(self, details: MasterDetails) -> None:
        """Take the master's details, when they arrive and when they change; override."""
