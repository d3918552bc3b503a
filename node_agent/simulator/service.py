"""The simulated rack as a service: boards, echo, and the link it is asked over."""

import logging
import random
import time
from collections.abc import Callable

from broker.client.link import BreakableConnect, Connect
from broker.common.errors import ConfigError, TopicError
from broker.contract.topics import Topics
from node_agent import actions
from node_agent.board import Board
from node_agent.node import Node
from node_agent.order_memory import OrderMemory
from node_agent.runner import Runner
from node_agent.simulator.chance import mix
from node_agent.simulator.control import Control
from node_agent.simulator.descriptors import make_room
from node_agent.simulator.echo import EchoServer
from node_agent.simulator.rack import SimulatedRack
from node_agent.simulator.schedule import Schedule
from node_agent.simulator.settings import SimulatorSettings
from node_agent.simulator.world import Restart, World

log = logging.getLogger(__name__)

SETTLE_S = 0.15
"""After its link is up, before boards appear: outlets that are off say so first."""

PATIENCE_S = 5.0
"""Boards appear without a broker too, after so long; they wait for it themselves."""


class SimulatorService:
    """Many boards in one process.

    Args:
        settings: ``[simulator]``.
        topics: Of the rack.
        connect: Makes the simulator's own link.
        connect_as: Returns how the node of an id connects.
        clock: Monotonic clock, seconds.
        wall: The right time, Unix seconds.

    Raises:
        ConfigError: A fault to begin with is not understood, or is for nobody here.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        *,
        topics: Topics,
        connect: Connect,
        connect_as: Callable[[str], BreakableConnect],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        """What it was made with."""
        self._topics = topics
        self._clock = clock
        self._began_s = clock()
        self._actions = actions.load()
        self._faults = settings.requests()
        self._begun = False
        self.schedule = Schedule(self._now)
        """What is still to happen; a test runs it by its own clock."""
        world = World(
            schedule=self.schedule,
            now=self._now,
            wall=wall,
            boot_s=settings.boot_s,
            connect_as=connect_as,
            make_node=self._make_node,
        )
        self.rack = SimulatedRack(settings.places, world, settings.seed)
        self._control = Control(
            self.rack, topics, connect, wall=wall, connected=self._on_connected
        )
        self._echo = EchoServer(settings.echo_port, self.rack.answers_echo)
        self._check_targets()

    async def start(self) -> None:
        """Open the echo port and begin to connect; boards appear soon after.

        Raises:
            ConfigError: The echo port is in use.
        """
        make_room(2 * len(self.rack.machines))
        if self.settings.echo_port:
            self._echo.start()
        self.schedule.start()
        self.schedule.after(PATIENCE_S, self._begin)
        await self._control.start()

    async def stop(self) -> None:
        """Let every board say goodbye; twice is fine."""
        self._echo.stop()
        await self._control.stop()
        await self.rack.stop()
        self.schedule.stop()

    def _check_targets(self) -> None:
        try:
            for request in self._faults:
                self.rack.targets(request.target)
        except TopicError as error:
            text = f"[simulator] faults: {error}"
            raise ConfigError(text) from error

    def _on_connected(self) -> None:
        if not self._begun:
            self.schedule.after(SETTLE_S, self._begin)

    def _begin(self) -> None:
        """Let the boards appear, and then the faults of the configuration."""
        if self._begun:
            return
        self._begun = True
        log.info("simulator: %d boards appear", len(self.rack.machines))
        lasts_s = self.rack.begin()
        self.schedule.after(lasts_s, self._begin_faults)

    def _begin_faults(self) -> None:
        for request in self._faults:
            for row in self.rack.inflict(request):
                log.info("%s: %s", row.name, row.error or row.stdout)

    def _now(self) -> float:
        return self._clock() - self._began_s

    def _make_node(
        self,
        node_id: str,
        *,
        board: Board,
        runner: Runner,
        memory: OrderMemory,
        connect: Connect,
        restart: Restart,
    ) -> Node:
        """Make the agent that also runs on a Pi."""
        return Node(
            node_id,
            board=board,
            actions=self._actions,
            runner=runner,
            connect=connect,
            topics=self._topics,
            interval_s=self.settings.interval_s,
            memory=memory,
            restart=restart,
            clock=self._now,
            sleep=self.schedule.sleep,
            rng=random.Random(mix(self.settings.seed, int(node_id[-8:], 16))),  # noqa: S311  # delays, not secrets
        )
