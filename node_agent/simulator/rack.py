"""All simulated boards: whom a target means, stacks losing power, faults arriving."""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from broker.common.errors import TopicError
from broker.contract.messages import Phase, TargetRow
from broker.contract.topics import ScopeKind
from node_agent.simulator.catalogue import facts_of, twin_of
from node_agent.simulator.chance import mix
from node_agent.simulator.faults import FaultRequest
from node_agent.simulator.layout import Place
from node_agent.simulator.machine import Machine
from node_agent.simulator.world import Blueprint, World

log = logging.getLogger(__name__)

STARTS_PER_S = 120.0
"""Boards that appear in a second: 48 in less than half of one, 2 000 in 17."""

LEAVING_AT_ONCE = 100
"""Boards that say goodbye together; each is answered in time."""

TICK_S = 0.05
"""Boards appear in handfuls; so their heartbeats are spread, and the loop breathes."""


class SimulatedRack:
    """The boards of a rack, by place.

    Args:
        places: Which boards there are.
        world: What they share.
        seed: The same seed gives the same rack.
    """

    def __init__(self, places: Iterable[Place], world: World, seed: int) -> None:
        self._world = world
        self.machines = {place: _machine(place, world, seed) for place in places}
        self._by_address = {
            place.address: machine for place, machine in self.machines.items()
        }

    def begin(self) -> float:
        """Let the boards appear one after another; return how long that takes, s."""
        per_tick = max(1, round(STARTS_PER_S * TICK_S))
        for index, machine in enumerate(self.machines.values()):
            delay_s = index // per_tick * TICK_S
            self._world.schedule.after(delay_s, machine.begin)
        return len(self.machines) / per_tick * TICK_S

    async def stop(self) -> None:
        """Let every agent say goodbye; twice is fine."""
        machines = list(self.machines.values())
        for first in range(0, len(machines), LEAVING_AT_ONCE):
            some = machines[first : first + LEAVING_AT_ONCE]
            await asyncio.gather(*(one.stop("simulation ended") for one in some))

    def answers_echo(self, address: str) -> bool:
        """Whether the board of an IP address answers a ping now."""
        machine = self._by_address.get(address)
        return machine is not None and machine.answers_echo

    def set_outlet(self, stack: int, *, on: bool) -> None:
        """Switch the boards of a stack, as its outlet does."""
        for place, machine in self.machines.items():
            if place.stack == stack:
                machine.set_outlet(on=on)

    def targets(self, target: str) -> tuple[Machine, ...]:
        """Return the boards a target means.

        Args:
            target: Node id or name (``node/`` before it is allowed), ``stack/<n>`` or
                ``rack``.

        Raises:
            TopicError: There is no such target here.
        """
        kind, slash, name = target.partition("/")
        if slash and kind == ScopeKind.NODE:
            target = name
        found = tuple(
            machine for place, machine in self.machines.items() if _means(target, place)
        )
        if not found:
            text = (
                f"no simulated board is {target[:64]!r}; give a node's id or name "
                "(s03n2), stack/<n> or rack"
            )
            raise TopicError(text)
        return found

    def inflict(self, request: FaultRequest) -> tuple[TargetRow, ...]:
        """Begin a fault, or put it on the calendar; return a row for each board.

        Raises:
            TopicError: There is no such target here.
        """
        machines = self.targets(request.target)
        if request.after_s > 0:
            later = partial(_inflict_all, machines, request)
            self._world.schedule.after(request.after_s, later)
            note = f"{request.fault} in {request.after_s:g} s"
            return tuple(_row(one, Phase.DONE, stdout=note) for one in machines)
        return tuple(_inflict(machine, request) for machine in machines)


def _means(target: str, place: Place) -> bool:
    if target in {ScopeKind.RACK, place.id, place.name}:
        return True
    return target == f"{ScopeKind.STACK}/{place.stack}"


def _machine(place: Place, world: World, seed: int) -> Machine:
    own = mix(seed, place.stack, place.slot)
    return Machine(
        Blueprint(place.id, facts_of(place, own), own),
        world,
        Blueprint(place.id, twin_of(place, own), mix(own, 60)),
    )


def _inflict_all(machines: Iterable[Machine], request: FaultRequest) -> None:
    for machine in machines:
        row = _inflict(machine, request)
        if row.error:
            log.warning("simulator: %s", row.error)


def _inflict(machine: Machine, request: FaultRequest) -> TargetRow:
    obstacle = machine.obstacle(request.fault)
    if obstacle:
        return _row(machine, Phase.FAILED, error=obstacle)
    machine.inflict(request)
    end = "until heal" if request.for_s is None else f"for {request.for_s:g} s"
    note = str(request.fault) if request.cures else f"{request.fault} {end}"
    return _row(machine, Phase.DONE, stdout=note, verified=True)


def _row(
    machine: Machine,
    phase: Phase,
    *,
    stdout: str = "",
    error: str = "",
    verified: bool = False,
) -> TargetRow:
    return TargetRow(
        node=machine.id,
        name=machine.name,
        phase=phase,
        stdout=stdout,
        error=error,
        verified=verified,
    )
