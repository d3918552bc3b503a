"""Executes the orders of one node: decides, answers, and runs what they name.

A destructive order is acknowledged, its id put on disk, and only then performed.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from broker.common.errors import ContractError
from broker.common.tasks import Tasks
from broker.contract.messages import Ability, Order, Phase, Result
from broker.contract.verbs import DESTRUCTIVE, Verb
from node_agent.actions import OWN, RESTART, Actions, ProbedActions, probing
from node_agent.order_memory import OrderMemory
from node_agent.runner import Invocation, Outcome, Runner

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Programs that run at the same time."""
KEEP_WITHIN_S = 5.0
"""How long a dying card may take to keep an id."""
WAITING = 32
"""Orders under way, those that wait for their turn included."""

KEPT = DESTRUCTIVE | {Verb.RESTART_AGENT}
"""Whose ids must outlive the process that obeys them."""
_NOT_THROUGH_RUN = KEPT | {Verb.PING, Verb.REFRESH, Verb.RUN}
"""Through ``run`` these would pass their own rules by, or mean nothing."""
_LEAVING = frozenset({Verb.REBOOT, Verb.SHUTDOWN})
_NOT_RUN = Outcome(exit_code=None)
_NO_SESSION = "-"
"""The node, which knows its connection, replaces it."""


def judge(
    order: Order, *, retained: bool, seen: bool, wall_time: float | None
) -> tuple[Phase | None, str]:
    """Decides about an order at the moment it is received; pure.

    Args:
        retained: The broker had it stored: it may be of any age.
        wall_time: The node's own clock, Unix seconds; None while that is not set, for
            then only ``ttl_s`` counts.

    Returns:
        The phase to answer with, and why it is not ``ACCEPTED``, which is to be obeyed.
        None: nothing is answered, because a copy of it already was.
    """
    if retained:
        reason = "an order must not be retained: it would be obeyed at every start"
        return Phase.REFUSED, reason
    if seen:
        return None, "its id was seen before"
    if order.ttl_s <= 0:
        return Phase.EXPIRED, "its ttl_s was 0 when it arrived"
    if order.expires is not None and wall_time is not None:
        late_s = wall_time - order.expires
        if late_s >= 0:
            return Phase.EXPIRED, f"it expired {late_s:.1f} s before arrival"
    wrong = _wrong_with_run(order) if order.verb == Verb.RUN else ""
    return (Phase.REFUSED if wrong else Phase.ACCEPTED), wrong


def _wrong_with_run(order: Order) -> str:
    if not order.args:
        return "run needs an alias: run <alias> [value …]"
    if order.args[0] in _NOT_THROUGH_RUN:
        return f"{order.args[0]} must be sent as itself, not through run"
    return ""


def alias_of(order: Order) -> tuple[str, tuple[str, ...]]:
    """Returns the alias an order means and its arguments; ``run`` names one."""
    if order.verb == Verb.RUN:
        return order.args[0], order.args[1:]
    return order.verb, order.args


class OrderExecutor:
    """Executes the orders of one node.

    Args:
        answer: Publishes a result, whose session it fills in.
        refresh: Has everything sent again.
        at_once: How many programs run at the same time.
        restart: Ends the agent and starts it again; None where it would stay dead.
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
        self.probed = ProbedActions()
        """What is known of the actions."""
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

    async def probe(
        self, on_progress: Callable[[], None] | None = None, *, again: bool = True
    ) -> tuple[Ability, ...]:
        """Finds out which actions can work here, and returns all that do.

        Args:
            on_progress: Called whenever more is known.
            again: Also ask about what was answered before.
        """
        own = OWN if self._restart is None else (*OWN, RESTART)
        before = self.probed
        found = probing(self._actions, self._runner, own, before, again=again)
        async for self.probed in found:
            if on_progress is not None:
                on_progress()
        for verb, why in self.probed.obstacles.items():
            if before.obstacles.get(verb) != why:
                log.info("%s is not offered: %s", verb, why)
        for verb, why in self.probed.unanswered.items():
            log.info("%s: not known yet whether it works: %s", verb, why)
        return self.probed.abilities

    def take(self, order: Order, *, retained: bool, wall_time: float | None) -> None:
        """Decides about an order, answers it, and begins to perform it.

        Args:
            wall_time: The node's own clock; None while that is not set.
        """
        # What was retained is not noted: the same id may still be sent properly.
        seen = not retained and self._memory.seen(order.id)
        phase, why = judge(order, retained=retained, seen=seen, wall_time=wall_time)
        if phase is Phase.ACCEPTED and self._stopping:
            phase, why = Phase.REFUSED, "the agent is ending"
        if phase is Phase.ACCEPTED:
            self._obey(order)
            return
        log.info("order %s %s: %s", order.id, order.verb, why)
        if phase is not None:
            self._reply(order, phase, why)

    async def stop(self) -> None:
        """Ends what runs; each asker gets an answer, and later ones a refusal."""
        self._stopping = True
        await self._tasks.stop()

    def _obey(self, order: Order) -> None:
        if order.verb == Verb.PING:
            self._reply(order, Phase.DONE)
        elif order.verb == Verb.REFRESH:
            self._refresh()
            self._reply(order, Phase.DONE)
        elif order.verb == Verb.RESTART_AGENT:
            self._begin_restart(order)
        else:
            self._begin_alias(order)

    def _begin_restart(self, order: Order) -> None:
        """Acknowledges a restart of the agent, unless an answer would be lost by it."""
        if self._restart is None:
            why_not = "nothing would start this agent again"
            self._reply(order, Phase.REFUSED, why_not)
        elif self._interrupting:
            verbs = ", ".join(sorted(self._interrupting))
            why_not = f"{verbs} is under way; its answer would be lost"
            self._reply(order, Phase.REFUSED, why_not)
        else:
            self._reply(order, Phase.ACCEPTED)
            _ = self._tasks.spawn("restart", self._restart_by(order, self._restart))

    async def _restart_by(self, order: Order, restart: Callable[[], None]) -> None:
        """Answers, and ends; the next session shows that the agent started again."""
        note = await self._keep(order)
        if note is not None:
            self.leaving = _ordered(order)
            self._reply(order, Phase.DONE, outcome=_noted(_NOT_RUN, note))
            restart()

    def _begin_alias(self, order: Order) -> None:
        """Acknowledges an order that runs an alias, and starts on it."""
        try:
            invocation = self._invocation(order)
        except ContractError as error:
            self._reply(order, Phase.REFUSED, str(error))
            return
        self._reply(order, Phase.ACCEPTED)
        deadline = self._clock() + order.ttl_s
        _ = self._tasks.spawn(
            f"order {order.verb}", self._perform(order, invocation, deadline)
        )

    def _invocation(self, order: Order) -> Invocation:
        """Returns what an order asks to run.

        Raises:
            ContractError: It cannot be run; the text says why.
        """
        alias, arguments = alias_of(order)
        if len(self._tasks) >= WAITING:
            text = f"{WAITING} orders are under way already; try again later"
            raise ContractError(text)
        if alias in self.probed.obstacles:
            why = self.probed.obstacles[alias]
            text = f"{alias} cannot work on this node: {why}"
            raise ContractError(text)
        action = self._actions.get(alias)
        if action is None:
            known = ", ".join(ability.verb for ability in self.probed.abilities)
            text = f"unknown verb {alias!r}; this node can: {known}"
            raise ContractError(text)
        return action.invocation(arguments)

    async def _perform(
        self, order: Order, invocation: Invocation, deadline: float
    ) -> None:
        """Waits for a free slot, runs, and answers in any case."""
        try:
            if not await self._free_slot(deadline):
                text = f"it waited longer than its ttl_s of {order.ttl_s:g} s"
                self._reply(order, Phase.EXPIRED, text)
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
                self._reply(order, Phase.FAILED, "the agent was stopped")
            raise
        except Exception as error:  # a runner may be anyone's
            log.exception("order %s %s", order.id, order.verb)
            self._reply(order, Phase.FAILED, f"{type(error).__name__}: {error}")

    async def _free_slot(self, deadline: float) -> bool:
        """Waits for a slot; returns whether it came in time."""
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
        self._reply(order, Phase.RUNNING, outcome=_noted(_NOT_RUN, note))

        def progress(tail: str) -> None:
            outcome = Outcome(exit_code=None, stdout=tail, truncated=True)
            self._reply(order, Phase.RUNNING, outcome=outcome)

        outcome = _noted(await self._runner.run(invocation, progress), note)
        done = outcome.exit_code == 0 and not outcome.timed_out
        if not done and order.verb in _LEAVING:
            self.leaving = ""
        error = outcome.error or ("" if done else f"exit code {outcome.exit_code}")
        self._reply(order, Phase.DONE if done else Phase.FAILED, error, outcome)

    async def _keep(self, order: Order) -> str | None:
        """Writes an id to disk that must outlive this process.

        A board that cannot write is the one that needs its reboot: it goes on, and the
        answer says so.

        Returns:
            A note for the answer, mostly empty; None: the order was refused.
        """
        if order.verb not in KEPT:
            return ""
        try:
            async with asyncio.timeout(KEEP_WITHIN_S):
                why = await asyncio.to_thread(self._memory.keep, order.id)
        except TimeoutError:
            why = f"its disk took longer than {KEEP_WITHIN_S:g} s"
        except (OSError, RuntimeError) as error:  # there may be no thread either
            if order.verb not in _LEAVING:
                text = f"its id cannot be kept across a reboot: {error}"
                self._reply(order, Phase.REFUSED, text)
                return None
            why = str(error)
        if not why:
            return ""
        log.warning("order %s %s: its id is not on disk: %s", order.id, order.verb, why)
        return f"its id could not be kept on disk ({why}); it goes on all the same"

    def _reply(
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
    """Returns an outcome whose output begins with a line of the agent's own."""
    if not note:
        return outcome
    return msgspec.structs.replace(outcome, stdout=f"{note}\n{outcome.stdout}")


def _ordered(order: Order) -> str:
    """Returns why an agent leaves that was ordered to."""
    return f"{order.verb} ordered by {order.by or 'an unnamed sender'}"
