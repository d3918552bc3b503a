"""What a simulated board is made of, and what it shares with the others."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from broker.client.link import BreakableConnect, Connect
from node_agent.board import Board, BoardFacts
from node_agent.node import Node
from node_agent.order_memory import OrderMemory
from node_agent.runner import Runner
from node_agent.simulator.schedule import Schedule

Restart = Callable[[], None]
"""Has a board's agent end and begin anew, soon."""


class MakeNode(Protocol):
    """Makes the agent that also runs on a Pi."""

    def __call__(
        self,
        node_id: str,
        *,
        board: Board,
        runner: Runner,
        memory: OrderMemory,
        connect: Connect,
        restart: Restart,
    ) -> Node:
        """Make one; it is not started yet."""


class Blueprint(msgspec.Struct, frozen=True):
    """What makes one board this board.

    Args:
        id: Node id.
        facts: What it says of itself, without a boot id.
        seed: Of everything about it that is invented.
    """

    id: str
    facts: BoardFacts
    seed: int


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What all machines of a rack share.

    Args:
        schedule: What does things later; its clock is ``now``.
        now: Seconds since the simulated rack began.
        wall: The right time, Unix seconds.
        boot_s: How long a board takes to boot, seconds, give or take.
        connect_as: Returns how the node of an id connects.
        make_node: Makes an agent.
    """

    schedule: Schedule
    now: Callable[[], float]
    wall: Callable[[], float]
    boot_s: float
    connect_as: Callable[[str], BreakableConnect]
    make_node: MakeNode
