"""Takes the orders of one node: judges, answers, and has them performed.

A destructive order is acknowledged, its id put on disk, and only then performed.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from broker.common.errors import ContractError
from broker.common.tasks import Tasks
from broker.contract.messages import Ability, Order, Phase, Result
from broker.contract.verbs import DESTRUCTIVE, Verb
from node_agent.abilities import OWN, RESTART, Probed, probing
from node_agent.actions import Actions
from node_agent.order_memory import OrderMemory
from node_agent.orders import KEPT, Judgement, Ruling, alias_of, judge
from node_agent.runner import Invocation, Outcome, Runner

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Programs that run at the same time."""
KEEP_WITHIN_S = 5.0
"""How long a dying card may take to keep an id."""
WAITING = 32
"""Orders under way, those that wait for their turn included."""

_LEAVING = frozenset({Verb.REBOOT, Verb.SHUTDOWN})
_NOT_RUN = Outcome(exit_code=None)
_NO_SESSION = "-"
"""Until the node, which knows its connection, puts that in."""


class OrderDesk:
    """The orders of one node.

    Args:
        actions: The aliases it obeys.
        runner: What runs them.
        memory: What was seen already.
        answer: Publishes a result, whose session it fills in.
        refresh: Has everything sent again.
        clock: Monotonic clock, seconds.
        at_once: How many programs run at the same time.
        restart: Has the agent end and begin anew; None where it would stay dead.
    """

    def __init__(
        self,
        *,
        actions: Actions,
        runner: Runner,
        memory: OrderMemory,
        answer: Callable[[Result], None],
        refresh: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        at_once: int = AT_ONCE,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self.leaving = ""
        """Why the agent is about to end; empty while it is not."""
        self._actions = actions
        self._runner = runner
        self._memory = memory
        self._answer = answer
        self._refresh = refresh
        self._clock = clock
        self._slots = asyncio.Semaphore(at_once)
        self._restart = restart
        self._tasks = Tasks()
        self._stopping = False
        self._interrupting: set[str] = set()
        self._probed = Probed()

    async def probe(
        self, told: Callable[[], None] | None = None, *, again: bool = True
    ) -> tuple[Ability, ...]:
        """Find out which actions can work here, and return all that do.

        Args:
            told: Called whenever more is known.
            again: Ask also about what was answered before.
        """
        own = OWN if self._restart is None else (*OWN, RESTART)
        before = self._probed
        found = probing(self._actions, self._runner, own, before, again=again)
        async for self._probed in found:
            if told is not None:
                told()
        for verb, why in self.probed.obstacles.items():
            if before.obstacles.get(verb) != why:
                log.info("%s is not offered: %s", verb, why)
        for verb, why in self.probed.unanswered.items():
            log.info("%s: not known yet whether it works: %s", verb, why)
        return self.probed.abilities

    @property
    def probed(self) -> Probed:
        """What is known of the actions."""
        return self._probed

    @property
    def obstacles(self) -> Mapping[str, str]:
        """Why the others do not, by alias, as found out last."""
        return self._probed.obstacles

    def take(self, order: Order, *, retained: bool, wall_time: float | None) -> None:
        """Judge an order, answer, and begin to perform it.

        Args:
            order: As received.
            retained: Whether the broker had it stored.
            wall_time: The node's own clock; None while that is not set.
        """
        # What was retained is not noted: the same id may still be sent properly.
        seen = not retained and self._memory.seen(order.id)
        judgement = judge(order, retained=retained, seen=seen, wall_time=wall_time)
        if self._stopping and judgement.ruling is Ruling.OBEY:
            judgement = Judgement(Ruling.REFUSE, "the agent is ending")
        if judgement.ruling is Ruling.OBEY:
            self._obey(order)
        else:
            self._decline(order, judgement)

    async def stop(self) -> None:
        """End what runs; each asker gets an answer, and later ones a refusal."""
        self._stopping = True
        await self._tasks.stop()

    def _decline(self, order: Order, judgement: Judgement) -> None:
        phase = judgement.ruling.phase
        log.info("order %s %s: %s", order.id, order.verb, judgement.reason)
        if phase is not None:
            self._say(order, phase, judgement.reason)

    def _obey(self, order: Order) -> None:
        if order.verb == Verb.PING:
            self._say(order, Phase.DONE)
        elif order.verb == Verb.REFRESH:
            self._refresh()
            self._say(order, Phase.DONE)
        elif order.verb == Verb.RESTART_AGENT:
            self._begin_restart(order)
        else:
            self._begin(order)

    def _begin_restart(self, order: Order) -> None:
        """Acknowledge an order to begin anew, unless an answer would be lost by it."""
        if self._restart is None:
            why_not = "nothing would start this agent again"
            self._say(order, Phase.REFUSED, why_not)
        elif self._interrupting:
            verbs = ", ".join(sorted(self._interrupting))
            why_not = f"{verbs} is under way; its answer would be lost"
            self._say(order, Phase.REFUSED, why_not)
        else:
            self._say(order, Phase.ACCEPTED)
            _ = self._tasks.spawn("restart", self._leave_by(order, self._restart))

    async def _leave_by(self, order: Order, restart: Callable[[], None]) -> None:
        """Answer, and end; that it began anew is seen by its next session."""
        note = await self._keep(order)
        if note is not None:
            self.leaving = _ordered(order)
            self._say(order, Phase.DONE, outcome=_noted(_NOT_RUN, note))
            restart()

    def _begin(self, order: Order) -> None:
        """Acknowledge an order that runs an alias, and start on it."""
        try:
            invocation = self._invocation(order)
        except ContractError as error:
            self._say(order, Phase.REFUSED, str(error))
            return
        self._say(order, Phase.ACCEPTED)
        deadline = self._clock() + order.ttl_s
        _ = self._tasks.spawn(
            f"order {order.verb}", self._perform(order, invocation, deadline)
        )

    def _invocation(self, order: Order) -> Invocation:
        """Return what an order asks to run.

        Raises:
            ContractError: It cannot be run, and why.
        """
        alias, arguments = alias_of(order)
        if len(self._tasks) >= WAITING:
            text = f"{WAITING} orders are under way already; try again later"
            raise ContractError(text)
        if alias in self._probed.obstacles:
            why = self._probed.obstacles[alias]
            text = f"{alias} cannot work on this node: {why}"
            raise ContractError(text)
        action = self._actions.get(alias)
        if action is None:
            known = ", ".join(ability.verb for ability in self._probed.abilities)
            text = f"unknown verb {alias!r}; this node can: {known}"
            raise ContractError(text)
        return action.invocation(arguments)

    async def _perform(
        self, order: Order, invocation: Invocation, deadline: float
    ) -> None:
        """Wait for a turn, run, and answer whatever happens."""
        try:
            if not await self._turn(deadline):
                text = f"it waited longer than its ttl_s of {order.ttl_s:g} s"
                self._say(order, Phase.EXPIRED, text)
                return
            if order.verb in DESTRUCTIVE:
                self._interrupting.add(order.verb)
            try:
                await self._run(order, invocation)
            finally:
                self._interrupting.discard(order.verb)
                self._slots.release()
        except asyncio.CancelledError:
            # A reboot that ends us is under way, not failed.
            if order.verb not in _LEAVING:
                self._say(order, Phase.FAILED, "the agent was stopped")
            raise
        except Exception as error:  # a runner may be anyone's
            log.exception("order %s %s", order.id, order.verb)
            self._say(order, Phase.FAILED, f"{type(error).__name__}: {error}")

    async def _turn(self, deadline: float) -> bool:
        """Wait for a slot; return whether it came in time."""
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                await self._slots.acquire()
        except TimeoutError:
            return False
        return True

    async def _run(self, order: Order, invocation: Invocation) -> None:
        log.info("order %s %s %s by %r", order.id, order.verb, order.args, order.by)
        note = await self._keep(order)
        if note is None:
            return
        if order.verb in _LEAVING:
            self.leaving = _ordered(order)
        self._say(order, Phase.RUNNING, outcome=_noted(_NOT_RUN, note))

        def progress(tail: str) -> None:
            outcome = Outcome(exit_code=None, stdout=tail, truncated=True)
            self._say(order, Phase.RUNNING, outcome=outcome)

        outcome = await self._runner.run(invocation, progress)
        self._report(order, _noted(outcome, note))

    async def _keep(self, order: Order) -> str | None:
        """Puts an id on disk that must outlive us.

        A board that cannot write is the one that needs its reboot: it goes on, and
        says so.

        Returns:
            What to say about it in the answer, mostly nothing; None: the order is
            refused.
        """
        if order.verb not in KEPT:
            return ""
        try:
            async with asyncio.timeout(KEEP_WITHIN_S):
                why = await asyncio.to_thread(self._memory.keep, order.id)
        except TimeoutError:
            why = f"its disk took longer than {KEEP_WITHIN_S:g} s"
        except (OSError, RuntimeError) as error:  # a thread may not be had either
            if order.verb not in _LEAVING:
                text = f"its id cannot be kept across a reboot: {error}"
                self._say(order, Phase.REFUSED, text)
                return None
            why = str(error)
        if not why:
            return ""
        log.warning("order %s %s: its id is not on disk: %s", order.id, order.verb, why)
        return f"its id could not be kept on disk ({why}); it goes on all the same"

    def _report(self, order: Order, outcome: Outcome) -> None:
        done = outcome.exit_code == 0 and not outcome.timed_out
        if not done and order.verb in _LEAVING:
            self.leaving = ""
        error = outcome.error or ("" if done else f"exit code {outcome.exit_code}")
        self._say(order, Phase.DONE if done else Phase.FAILED, error, outcome)

    def _say(
        self, order: Order, phase: Phase, error: str = "", outcome: Outcome = _NOT_RUN
    ) -> None:
        result = Result(
            id=order.id,
            verb=order.verb,
            session=_NO_SESSION,
            phase=phase,
            error=error,
            exit_code=outcome.exit_code,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            truncated=outcome.truncated,
            duration_s=round(max(0.0, outcome.duration_s), 3),
        )
        self._answer(result)


def _noted(outcome: Outcome, note: str) -> Outcome:
    """Return an outcome whose output begins with a line of the agent's own."""
    if not note:
        return outcome
    text = f"{note}\n{outcome.stdout}"
    return msgspec.structs.replace(outcome, stdout=text)


def _ordered(order: Order) -> str:
    """Return why an agent leaves that was ordered to."""
    return f"{order.verb} ordered by {order.by or 'nobody named'}"
