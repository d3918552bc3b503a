"""Performs the actions of a run; failures outside become answers, not exceptions."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from broker.common.errors import PiRackError
from broker.contract.messages import Power
from provisioning.backends.backend import Backend
from provisioning.common.errors import Problem
from provisioning.common.network import RackNetwork
from provisioning.interfaces import StackPower
from provisioning.run.messages import (
    Action,
    ActionAnswer,
    AddressesProbed,
    ApplyReservations,
    CheckReadiness,
    LengthenLeases,
    ProbeAddresses,
    ReadinessChecked,
    ReservationsApplied,
    SearchServers,
    ServersSearched,
    StackSwitched,
    SwitchStack,
)
from provisioning.run.state import Params
from provisioning.run.texts import rival

log = logging.getLogger(__name__)

SEARCH_S = 3.5
"""Seconds to listen for other DHCP servers; ISC dhcpd answers after a ping of 1 s."""

FAILURES = (PiRackError, OSError)
"""What may go wrong outside; a driver that raises OSError must not end the run."""


class InstallEffects:
    """Performs the actions of a run; ``search_s`` is the time of a search, seconds."""

    def __init__(
        self,
        *,
        power: StackPower,
        backend: Backend,
        network: RackNetwork,
        search_s: float = SEARCH_S,
    ) -> None:
        self._power = power
        self._backend = backend
        self._network = network
        self._search_s = search_s
        self._outlets: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def perform(
        self, effect: Action, params: Params
    ) -> ActionAnswer | ServersSearched:
        """Performs an action and returns the answer."""
        match effect:
            case CheckReadiness():
                return await self._check(effect, params)
            case SwitchStack():
                return await self._switch(effect)
            case ProbeAddresses():
                return await self._probe(effect, params)
            case ApplyReservations():
                return await self._apply(effect)
            case LengthenLeases():
                return await self._lengthen()
            case SearchServers():
                return await self._search()

    async def _check(self, effect: CheckReadiness, params: Params) -> ReadinessChecked:
        stacks = [stack.number for stack in params.stacks]
        own, servers, (levels, dark) = await asyncio.gather(
            self._own_problems(effect), self._servers(params), self._levels(stacks)
        )
        return ReadinessChecked(effect.turn, (*own, *servers, *dark), levels)

    async def _own_problems(self, effect: CheckReadiness) -> tuple[Problem, ...]:
        try:
            return await self._backend.check(effect.reservations)
        except FAILURES as error:
            return (Problem(text=str(error), fatal=True),)

    async def _servers(self, params: Params) -> tuple[Problem, ...]:
        search = await self._search()
        if search.error:
            return (Problem(text=search.error, fatal=True),)
        if params.reserves:
            texts = (rival(one.address, one.mac) for one in search.servers)
            return tuple(Problem(text=text, fatal=True) for text in texts)
        if not search.servers:
            text = (
                "no DHCP server answers on the network, and the observe back end is "
                "none: boards get no address, though they are found"
            )
            return (Problem(text=text),)
        return ()

    async def _search(self) -> ServersSearched:
        try:
            return ServersSearched(await self._network.servers(within_s=self._search_s))
        except FAILURES as error:
            return ServersSearched((), str(error))

    async def _levels(
        self, stacks: Sequence[int]
    ) -> tuple[dict[int, Power], tuple[Problem, ...]]:
        # All at once: each may take as long as its driver waits for a plug.
        answers = await asyncio.gather(*map(self._level, stacks))
        levels = {
            stack: answer
            for stack, answer in zip(stacks, answers, strict=True)
            if isinstance(answer, Power)
        }
        return levels, tuple(one for one in answers if isinstance(one, Problem))

    async def _level(self, stack: int) -> Power | Problem:
        try:
            return await self._power.read(stack)
        except FAILURES as error:
            text = f"the outlet of stack {stack} cannot be read: {error}"
            return Problem(text=text, fatal=True)

    async def _switch(self, effect: SwitchStack) -> StackSwitched:
        # A cancelled run may want the same outlet back while the old switch is on.
        async with self._outlets[effect.stack]:
            try:
                await self._power.switch(
                    effect.stack, on=effect.on, consent=effect.consent
                )
                level = await self._power.read(effect.stack)
            except FAILURES as error:
                return StackSwitched(
                    effect.turn, effect.stack, Power.UNKNOWN, str(error)
                )
        return StackSwitched(effect.turn, effect.stack, level)

    async def _probe(self, effect: ProbeAddresses, params: Params) -> AddressesProbed:
        try:
            answers = await self._network.probe(
                effect.addresses, within_s=params.pace.probe_s
            )
        except FAILURES as error:
            return AddressesProbed(effect.turn, (), error=str(error))
        return AddressesProbed(effect.turn, answers)

    async def _pool_used(self) -> int:
        try:
            leases = await self._backend.leases()
        except FAILURES:
            return 0  # a server that is away says so itself; the probe is good
        reserved = {row.address for row in self._backend.applied()}
        return sum(1 for lease in leases if lease.address not in reserved)

    async def _apply(self, effect: ApplyReservations) -> ReservationsApplied:
        try:
            await self._backend.apply(effect.reservations, brief=True)
        except FAILURES as error:
            return ReservationsApplied(effect.turn, str(error))
        return ReservationsApplied(effect.turn, pool_used=await self._pool_used())

    async def _lengthen(self) -> ReservationsApplied:
        try:
            await self._backend.apply(self._backend.applied())
        except FAILURES as error:  # short leases do no harm; the next start ends them
            log.warning("leases stay short: %s", error)
        return ReservationsApplied(0)
