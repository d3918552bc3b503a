"""Does what a run asks for and says how it went; never raises for what can go wrong."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from broker.common.errors import PiRackError
from broker.contract.messages import Power
from provisioning.backends.backend import Backend
from provisioning.common.errors import Problem
from provisioning.common.network import RackNetwork
from provisioning.run.messages import (
    Act,
    Applied,
    Apply,
    Check,
    Checked,
    Lengthen,
    Probe,
    Probed,
    Search,
    Searched,
    Switch,
    Switched,
)
from provisioning.run.state import Params
from provisioning.run.words import rival
from provisioning.seams import StackPower

log = logging.getLogger(__name__)

SEARCH_S = 3.5
"""Seconds to listen for other DHCP servers; ISC dhcpd answers after a ping of 1 s."""


FAILURES = (PiRackError, OSError)
"""What may go wrong outside; a driver that lets an OSError through costs no run."""


class Hands:
    """Performs the effects of a run.

    Args:
        power: Switches stacks.
        backend: The DHCP server.
        network: Asks questions on the network.
        search_s: How long to listen for other DHCP servers, seconds.
    """

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
        self, effect: Act, params: Params
    ) -> Checked | Switched | Probed | Applied | Searched:
        """Do it and return the answer.

        Args:
            effect: What is wanted.
            params: Of the run.
        """
        match effect:
            case Check():
                return await self._check(effect, params)
            case Switch():
                return await self._switch(effect)
            case Probe():
                return await self._probe(effect, params)
            case Apply():
                return await self._apply(effect)
            case Lengthen():
                return await self._lengthen()
            case Search():
                return await self._search()

    async def _check(self, effect: Check, params: Params) -> Checked:
        stacks = [stack.number for stack in params.stacks]
        own, servers, (levels, dark) = await asyncio.gather(
            self._own_problems(effect), self._servers(params), self._levels(stacks)
        )
        return Checked(effect.turn, (*own, *servers, *dark), levels)

    async def _own_problems(self, effect: Check) -> tuple[Problem, ...]:
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
                "none: boards will ask in vain, though they are found"
            )
            return (Problem(text=text),)
        return ()

    async def _search(self) -> Searched:
        try:
            return Searched(await self._network.servers(within_s=self._search_s))
        except FAILURES as error:
            return Searched((), str(error))

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

    async def _switch(self, effect: Switch) -> Switched:
        # A cancelled run may want the same outlet back while the old switch is on.
        async with self._outlets[effect.stack]:
            try:
                await self._power.switch(
                    effect.stack, on=effect.on, consent=effect.consent
                )
                level = await self._power.read(effect.stack)
            except FAILURES as error:
                return Switched(effect.turn, effect.stack, Power.UNKNOWN, str(error))
        return Switched(effect.turn, effect.stack, level)

    async def _probe(self, effect: Probe, params: Params) -> Probed:
        try:
            answers = await self._network.probe(
                effect.addresses, within_s=params.pace.probe_s
            )
        except FAILURES as error:
            return Probed(effect.turn, (), error=str(error))
        return Probed(effect.turn, answers)

    async def _pool_used(self) -> int:
        try:
            leases = await self._backend.leases()
        except FAILURES:
            return 0  # a server that is away says so itself; the probe is good
        reserved = {row.address for row in self._backend.applied()}
        return sum(1 for lease in leases if lease.address not in reserved)

    async def _apply(self, effect: Apply) -> Applied:
        try:
            await self._backend.apply(effect.reservations, brief=True)
        except FAILURES as error:
            return Applied(effect.turn, str(error))
        return Applied(effect.turn, pool_used=await self._pool_used())

    async def _lengthen(self) -> Applied:
        try:
            await self._backend.apply(self._backend.applied())
        except FAILURES as error:  # short leases do no harm; the next start ends them
            log.warning("leases stay short: %s", error)
        return Applied(0)
