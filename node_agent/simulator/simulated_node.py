"""One simulated node: its board's power, state and faults, and the agent it runs."""

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Callable
from functools import partial

import msgspec

from broker.client.link import BreakableConnect, Connect
from broker.contract.topics import Topics
from broker.contract.verbs import Verb
from node_agent.actions import Actions
from node_agent.board import MachineFacts
from node_agent.node import Node
from node_agent.order_memory import OrderMemory
from node_agent.simulator.board_state import (
    SOFTWARE_FAULTS,
    BoardPhase,
    BoardState,
    Fault,
    FaultRequest,
    agent_runs,
    answers_ping,
    link_fault,
)
from node_agent.simulator.fault_injector import AgentRun
from node_agent.simulator.settings import SimulatorSettings
from node_agent.simulator.simulated_board import SimulatedBoard, between, boot_id, mix
from node_agent.simulator.simulated_runner import SimulatedRunner

log = logging.getLogger(__name__)

GOING_DOWN_S = 0.3
"""Between the reboot command and the end of the agent: systemd stops it in time."""

AGENT_BACK_S = 1.0
"""Between the end of an agent that is restarted and its next start."""

BOOT_JITTER = 0.2
"""The largest share by which boot times differ, up or down."""

_OLDEST_BOOT_S = 12 * 86_400.0


class Scheduler:
    """Runs callbacks later, in order, on one timer of the loop for a whole rack."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Runs what is due by the running loop; a test may call ``run_due`` instead."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        """Drops all callbacks; twice is fine."""
        self._heap.clear()
        self._disarm()
        self._loop = None

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Runs a callback ``delay_s`` seconds from now."""
        self.at(self._clock() + delay_s, callback)

    def at(self, when_s: float, callback: Callable[[], None]) -> None:
        """Runs a callback at a moment of the clock."""
        heapq.heappush(self._heap, (when_s, next(self._count), callback))
        if self._heap[0][2] is callback:
            self._arm()

    async def sleep(self, delay_s: float) -> None:
        """Waits; a thousand agents that wait so cost the loop one timer."""
        woken = asyncio.get_running_loop().create_future()
        self.after(delay_s, partial(_wake, woken))
        await woken

    def run_due(self) -> None:
        """Runs everything whose time has come, oldest first."""
        while self._heap and self._heap[0][0] <= self._clock():
            _, _, callback = heapq.heappop(self._heap)
            try:
                callback()
            except Exception:
                log.exception("simulator: a scheduled step failed")
        self._arm()

    def _arm(self) -> None:
        self._disarm()
        if self._loop is not None and self._heap:
            delay_s = max(0.0, self._heap[0][0] - self._clock())
            self._timer = self._loop.call_later(delay_s, self.run_due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Blueprint(msgspec.Struct, frozen=True):
    """What makes a board this one.

    Args:
        facts: What it says of itself, without a boot id.
    """

    id: str
    facts: MachineFacts
    seed: int


class RackContext(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of a rack share.

    Args:
        scheduler: Its clock is ``now``.
        now: Seconds since the simulated rack began.
        wall: The right time, Unix seconds.
        connect_as: Returns how the node of an id connects.
    """

    settings: SimulatorSettings
    topics: Topics
    actions: Actions
    scheduler: Scheduler
    now: Callable[[], float]
    wall: Callable[[], float]
    connect_as: Callable[[str], BreakableConnect]


class SimulatedNode:
    """One node; every call takes effect at once.

    Args:
        blueprint: What makes its board this one.
        context: What it shares with the others.
        twin: What a ``duplicate`` fault adds; None for a node that is a twin.
    """

    def __init__(
        self, blueprint: Blueprint, context: RackContext, twin: Blueprint | None = None
    ) -> None:
        self.blueprint = blueprint
        self.blinks = 0
        """How often it was asked to identify itself."""
        self._context = context
        self._scheduler = context.scheduler
        self._twin_blueprint = twin
        self._twin: SimulatedNode | None = None
        self._begun = False
        self._outlet_on = True
        self._orders = OrderMemory()
        self._state = BoardState()
        self._faults: dict[Fault, FaultRequest] = {}
        self._agent: AgentRun | None = None
        self._last_agent: AgentRun | None = None
        self._board = self._make_board()

    @property
    def id(self) -> str:
        """Node id."""
        return self.blueprint.id

    @property
    def name(self) -> str:
        """Display name, which is its hostname too."""
        return self.blueprint.facts.hostname

    @property
    def phase(self) -> BoardPhase:
        """What it is doing."""
        return self._state.phase

    @property
    def answers_ping(self) -> bool:
        """Whether it answers a ping now."""
        return answers_ping(self._state, self._faults)

    def begin(self) -> None:
        """Appears as a board that has been running for a while, if it has power."""
        self._begun = True
        age_s = between(600.0, _OLDEST_BOOT_S, self.blueprint.seed, 50)
        if self._powered():
            self._board = self._make_board(-age_s)
            running = BoardState(
                phase=BoardPhase.RUNNING, booted_s=-age_s, ready_s=-age_s
            )
            self._enter(running, AgentRun.crash)

    def set_outlet(self, *, on: bool) -> None:
        """Follows the outlet of its stack."""
        self._outlet_on = on
        self._supply()
        self._follow_twin()

    def obstacle(self, fault: Fault) -> str:
        """Returns why a fault cannot happen now, in words; empty when it can."""
        if fault in SOFTWARE_FAULTS and self.phase is not BoardPhase.RUNNING:
            return f"{self.name} is {self.phase}: nothing runs that could {fault}"
        return ""

    def inflict(self, request: FaultRequest) -> None:
        """Begins a fault, or begins it again; ``heal`` ends all of them."""
        if request.fault is Fault.HEAL:
            self._cure(set(self._faults))
            return
        self._faults[request.fault] = request
        if request.for_s is not None:
            self._scheduler.after(request.for_s, lambda: self._expire(request))
        self._show_faults()

    def reboot(self) -> None:
        """Shuts down cleanly and boots, once the command has ended."""
        self._soon(self._reboot)

    def shutdown(self) -> None:
        """Shuts down cleanly and stays down, once the command has ended."""
        self._soon(self._halt)

    def restart_agent(self) -> None:
        """Ends its agent with a goodbye and starts it again, as systemd would."""
        self._soon(self._restart_agent)

    def identify(self) -> None:
        """Blinks, as far as a log can."""
        self.blinks += 1
        log.info("%s (%s) blinks", self.name, self.id)

    async def stop(self, reason: str) -> None:
        """Ends its agent with a goodbye; twice is fine."""
        if self._twin is not None:
            await self._twin.stop(reason)
        if self._agent is not None:
            self._end_agent(lambda agent: agent.leave(reason))
        if self._last_agent is not None:
            await self._last_agent.ended()

    def _expire(self, request: FaultRequest) -> None:
        """Ends a fault when its time is over, unless it was begun again."""
        if self._faults.get(request.fault) is request:
            self._cure({request.fault})

    def _cure(self, faults: set[Fault]) -> None:
        for fault in faults:
            self._faults.pop(fault, None)
        self._show_faults()

    def _show_faults(self) -> None:
        """Applies the faults that there are now."""
        self._apply_measurable_faults(self._board)
        self._supply()
        self._follow(AgentRun.crash)
        self._follow_twin()

    def _powered(self) -> bool:
        on = self._begun and self._outlet_on
        return on and Fault.BROWN_OUT not in self._faults

    def _supply(self) -> None:
        """Follows the power."""
        state = self._state.powered(
            on=self._powered(),
            now_s=self._context.now(),
            boot_s=self._boot_s(),
        )
        if state is not self._state:
            self._enter(state, AgentRun.lose_power)

    def _reboot(self) -> None:
        state = self._state.rebooted(now_s=self._context.now(), boot_s=self._boot_s())
        self._enter(state, lambda agent: agent.leave("rebooting"))

    def _halt(self) -> None:
        self._enter(self._state.halted(), lambda agent: agent.leave("shutting down"))

    def _restart_agent(self) -> None:
        self._end_agent(lambda agent: agent.leave("restarting"))
        self._scheduler.after(AGENT_BACK_S, lambda: self._follow(AgentRun.crash))

    def _ready(self) -> None:
        """Runs, because the boot time is over."""
        state = self._state.advanced(self._context.now())
        if state is not self._state:
            self._board = self._make_board(state.booted_s)
            self._enter(state, AgentRun.crash)

    def _enter(self, state: BoardState, end: Callable[[AgentRun], None]) -> None:
        """Enters a state; ``end`` is how an agent ends that does not run in it."""
        was, self._state = self._state, state
        if state.boot != was.boot:
            for fault in SOFTWARE_FAULTS:
                self._faults.pop(fault, None)
            self._scheduler.at(state.ready_s, self._ready)
        self._follow(end)

    def _follow(self, end: Callable[[AgentRun], None]) -> None:
        """Starts or ends the agent, and applies the faults of its link."""
        runs = agent_runs(self._state, self._faults)
        if self._agent is not None and not runs:
            self._end_agent(end)
        if self._agent is None and runs:
            self._start_agent()
        if self._agent is not None:
            self._agent.link.inject(link_fault(self._faults))

    def _follow_twin(self) -> None:
        """Adds or removes a second board with this identity."""
        wanted = Fault.DUPLICATE in self._faults
        if wanted and self._twin is None and self._twin_blueprint is not None:
            self._twin = SimulatedNode(self._twin_blueprint, self._context)
            self._twin.begin()
        if self._twin is not None:
            self._twin.set_outlet(on=wanted and self._outlet_on)

    def _start_agent(self) -> None:
        connect = self._context.connect_as(self.id)
        self._agent = AgentRun(self._make_node, connect)
        self._agent.start(after=self._last_agent)

    def _make_node(self, connect: Connect) -> Node:
        """Makes the agent that also runs on a Pi."""
        context, sleep = self._context, self._scheduler.sleep
        acts = {
            Verb.REBOOT: self.reboot,
            Verb.SHUTDOWN: self.shutdown,
            Verb.IDENTIFY: self.identify,
        }
        return Node(
            self.id,
            board=self._board,
            actions=context.actions,
            runner=SimulatedRunner(self._board, acts, sleep),
            connect=connect,
            topics=context.topics,
            interval_s=context.settings.interval_s,
            memory=self._orders,
            restart=self.restart_agent,
            clock=context.now,
            sleep=sleep,
            rng=random.Random(mix(context.settings.seed, int(self.id[-8:], 16))),  # noqa: S311  # delays, not secrets
        )

    def _end_agent(self, end: Callable[[AgentRun], None]) -> None:
        if self._agent is not None:
            end(self._agent)
            self._last_agent, self._agent = self._agent, None

    def _soon(self, act: Callable[[], None]) -> None:
        """Does something in this boot, if the board can still do anything by then."""
        boot = self._state.boot

        def act_now() -> None:
            if self._state.boot == boot and Fault.FREEZE not in self._faults:
                act()

        self._scheduler.after(GOING_DOWN_S, act_now)

    def _boot_s(self) -> float:
        slow = self._faults.get(Fault.SLOW_BOOT)
        if slow is not None:
            return slow.amount_s
        keys = (self.blueprint.seed, 51, self._state.boot)
        return self._context.settings.boot_s * between(
            1 - BOOT_JITTER, 1 + BOOT_JITTER, *keys
        )

    def _make_board(self, booted_s: float = 0.0) -> SimulatedBoard:
        """Returns the board as it is from one boot to the next."""
        seed = self.blueprint.seed
        # By the time too: no boot of a simulator that was restarted comes again.
        this_boot = boot_id(seed, self._state.boot, int(self._context.wall()))
        board = SimulatedBoard(
            msgspec.structs.replace(self.blueprint.facts, boot_id=this_boot),
            seed,
            booted_s=booted_s,
            now=self._context.now,
            wall=self._context.wall,
        )
        self._apply_measurable_faults(board)
        return board

    def _apply_measurable_faults(self, board: SimulatedBoard) -> None:
        """Makes a board report the faults that it can measure."""
        skew = self._faults.get(Fault.CLOCK_SKEW)
        board.skew_s = 0.0 if skew is None else skew.amount_s
        board.set_under_voltage(on=Fault.UNDER_VOLTAGE in self._faults)
