"""One simulated board as a whole: supply, life, faults, and the agent it runs."""

import logging
from collections.abc import Callable

import msgspec

from node_agent.order_memory import OrderMemory
from node_agent.simulator import life as lives
from node_agent.simulator.agent import Agent
from node_agent.simulator.board import SimulatedBoard
from node_agent.simulator.chance import between, boot_id
from node_agent.simulator.condition import Condition, condition
from node_agent.simulator.faults import CURED_BY_BOOT, Fault, FaultRequest
from node_agent.simulator.life import Life, Phase
from node_agent.simulator.runner import SimulatedRunner
from node_agent.simulator.world import Blueprint, World

log = logging.getLogger(__name__)

GOING_DOWN_S = 0.3
"""Between the reboot command and the end of the agent: systemd stops it in time."""

AGENT_BACK_S = 1.0
"""Between the end of an agent that is restarted and its beginning."""

BOOT_JITTER = 0.2
"""Boot times differ by so large a part, up or down."""

_OLDEST_BOOT_S = 12 * 86_400.0
_NEEDS_RUNNING = frozenset({Fault.CRASH, Fault.HANG, Fault.FREEZE})


class Machine:
    """One board; everything it is told takes effect at once.

    Args:
        blueprint: What makes it this board.
        world: What it shares with the others.
        twin: What a ``duplicate`` fault brings; None for a board that is a twin.
    """

    def __init__(
        self, blueprint: Blueprint, world: World, twin: Blueprint | None = None
    ) -> None:
        self.blueprint = blueprint
        self.blinks = 0
        """How often it was asked to identify itself."""
        self._world = world
        self._twin_blueprint = twin
        self._twin: Machine | None = None
        self._begun = False
        self._outlet_on = True
        self._orders = OrderMemory()
        self._life = lives.off()
        self._faults: dict[Fault, FaultRequest] = {}
        self._agent: Agent | None = None
        self._last_agent: Agent | None = None
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
    def phase(self) -> Phase:
        """What it is doing."""
        return self._life.phase

    @property
    def answers_echo(self) -> bool:
        """Whether a ping is answered now."""
        return self._condition().echo

    def begin(self) -> None:
        """Appear as a board that has been running for a while, if it has power."""
        self._begun = True
        age_s = between(600.0, _OLDEST_BOOT_S, self.blueprint.seed, 50)
        if self._powered():
            self._board = self._make_board(-age_s)
            self._live(lives.running_since(-age_s), Agent.crash)

    def set_outlet(self, *, on: bool) -> None:
        """Follow the outlet of its stack."""
        self._outlet_on = on
        self._supply()
        self._follow_twin()

    def obstacle(self, fault: Fault) -> str:
        """Return why a fault cannot happen now, in words; empty when it can."""
        if fault in _NEEDS_RUNNING and self.phase is not Phase.RUNNING:
            return f"{self.name} is {self.phase}: nothing runs that could {fault}"
        return ""

    def inflict(self, request: FaultRequest) -> None:
        """Begin a fault, or begin it anew; ``heal`` ends all of them."""
        if request.cures:
            self._cure(set(self._faults))
            return
        self._faults[request.fault] = request
        if request.for_s is not None:
            self._world.schedule.after(request.for_s, lambda: self._expire(request))
        self._show_faults()

    def reboot(self) -> None:
        """Go down cleanly and come back, once the command has ended."""
        self._soon(self._reboot)

    def shutdown(self) -> None:
        """Go down cleanly and stay down, once the command has ended."""
        self._soon(self._halt)

    def restart_agent(self) -> None:
        """End its agent with a goodbye and start it again, as systemd would."""
        self._soon(self._restart_agent)

    def identify(self) -> None:
        """Blink, as far as a log can."""
        self.blinks += 1
        log.info("%s (%s) blinks", self.name, self.id)

    async def stop(self, reason: str) -> None:
        """End its agent with a goodbye; twice is fine."""
        if self._twin is not None:
            await self._twin.stop(reason)
        if self._agent is not None:
            self._end_agent(lambda agent: agent.leave(reason))
        if self._last_agent is not None:
            await self._last_agent.ended()

    def _expire(self, request: FaultRequest) -> None:
        """End a fault when its time is over, unless it was begun anew."""
        if self._faults.get(request.fault) is request:
            self._cure({request.fault})

    def _cure(self, faults: set[Fault]) -> None:
        for fault in faults:
            self._faults.pop(fault, None)
        self._show_faults()

    def _show_faults(self) -> None:
        """Let everything follow the faults that are there now."""
        self._afflict(self._board)
        self._supply()
        self._follow(Agent.crash)
        self._follow_twin()

    def _powered(self) -> bool:
        on = self._begun and self._outlet_on
        return on and Fault.BROWN_OUT not in self._faults

    def _supply(self) -> None:
        """Let the life follow the power."""
        life = lives.power(
            self._life,
            on=self._powered(),
            now_s=self._world.now(),
            boot_s=self._boot_s(),
        )
        if life is not self._life:
            self._live(life, Agent.lose_power)

    def _reboot(self) -> None:
        life = lives.reboot(self._life, now_s=self._world.now(), boot_s=self._boot_s())
        self._live(life, lambda agent: agent.leave("rebooting"))

    def _halt(self) -> None:
        self._live(lives.halt(self._life), lambda agent: agent.leave("shutting down"))

    def _restart_agent(self) -> None:
        self._end_agent(lambda agent: agent.leave("restarting"))
        self._world.schedule.after(AGENT_BACK_S, lambda: self._follow(Agent.crash))

    def _ready(self) -> None:
        """The boot time is over."""
        life = lives.advance(self._life, self._world.now())
        if life is not self._life:
            self._board = self._make_board(life.booted_s)
            self._live(life, Agent.crash)

    def _live(self, life: Life, end: Callable[[Agent], None]) -> None:
        """Take up the next life; ``end`` is how an agent ends that is not in it."""
        was, self._life = self._life, life
        if life.boot != was.boot:
            self._cure_by_boot()
            self._world.schedule.at(life.ready_s, self._ready)
        self._follow(end)

    def _cure_by_boot(self) -> None:
        for fault in CURED_BY_BOOT:
            self._faults.pop(fault, None)

    def _follow(self, end: Callable[[Agent], None]) -> None:
        """Let the agent follow the condition of the board."""
        now = self._condition()
        if self._agent is not None and not now.agent:
            self._end_agent(end)
        if self._agent is None and now.agent:
            self._start_agent()
        if self._agent is not None:
            self._agent.gate.set(now.valve)

    def _follow_twin(self) -> None:
        """Let a second board with this identity come or go."""
        wanted = Fault.DUPLICATE in self._faults
        if wanted and self._twin is None and self._twin_blueprint is not None:
            self._twin = Machine(self._twin_blueprint, self._world)
            self._twin.begin()
        if self._twin is not None:
            self._twin.set_outlet(on=wanted and self._outlet_on)

    def _start_agent(self) -> None:
        board = self._board
        runner = SimulatedRunner(board, self, self._world.schedule.sleep)
        self._agent = Agent(
            lambda connect: self._world.make_node(
                self.id,
                board=board,
                runner=runner,
                memory=self._orders,
                connect=connect,
                restart=self.restart_agent,
            ),
            self._world.connect_as(self.id),
        )
        self._agent.start(after=self._last_agent)

    def _end_agent(self, end: Callable[[Agent], None]) -> None:
        if self._agent is not None:
            end(self._agent)
            self._last_agent, self._agent = self._agent, None

    def _soon(self, deed: Callable[[], None]) -> None:
        """Do something to this boot, if the board can still do anything by then."""
        boot = self._life.boot

        def act() -> None:
            if self._life.boot == boot and Fault.FREEZE not in self._faults:
                deed()

        self._world.schedule.after(GOING_DOWN_S, act)

    def _condition(self) -> Condition:
        return condition(self._life, self._faults)

    def _boot_s(self) -> float:
        slow = self._faults.get(Fault.SLOW_BOOT)
        if slow is not None:
            return slow.amount_s
        keys = (self.blueprint.seed, 51, self._life.boot)
        return self._world.boot_s * between(1 - BOOT_JITTER, 1 + BOOT_JITTER, *keys)

    def _make_board(self, booted_s: float = 0.0) -> SimulatedBoard:
        """Return the board as it is from one boot to the next."""
        seed = self.blueprint.seed
        # By the time too: no boot of a simulator that was restarted comes again.
        this_boot = boot_id(seed, self._life.boot, int(self._world.wall()))
        board = SimulatedBoard(
            msgspec.structs.replace(self.blueprint.facts, boot_id=this_boot),
            seed,
            booted_s=booted_s,
            now=self._world.now,
            wall=self._world.wall,
        )
        self._afflict(board)
        return board

    def _afflict(self, board: SimulatedBoard) -> None:
        """Let a board report the faults that it can measure."""
        skew = self._faults.get(Fault.CLOCK_SKEW)
        board.skew_s = 0.0 if skew is None else skew.amount_s
        board.set_under_voltage(on=Fault.UNDER_VOLTAGE in self._faults)
