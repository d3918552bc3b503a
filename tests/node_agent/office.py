"""A desk without a broker, and everything it said."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from broker.contract.messages import Order, Phase, Result
from node_agent.actions import from_text, withhold
from node_agent.fake_clock import FakeClock, turns
from node_agent.order_desk import OrderDesk
from node_agent.order_memory import OrderMemory
from node_agent.runner import FakeRunner, Invocation, Outcome, Progress, silently

COMMANDS = """
[all]
uptime = uptime
journal = journalctl -u {unit}
reboot = touch rebooted
shutdown = touch halted
identify = blink
"""


class Held(FakeRunner):
    """Programs that run until a test lets them end."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        outcome = await super().run(invocation, progress)
        await self.release.wait()
        return outcome


class Full(OrderMemory):
    """A board on which nothing can be written, not even below /run."""

    def keep(self, order_id: str) -> str:
        raise OSError(28, "No space left on device", order_id)


class Office:
    """A desk, and everything it said."""

    def __init__(
        self,
        runner: FakeRunner,
        memory: OrderMemory | None = None,
        restart: Callable[[], None] | None = None,
        withheld: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.runner = runner
        self.said: list[Result] = []
        self.refreshes = 0
        self.clock = FakeClock()
        self.desk = OrderDesk(
            actions=withhold(from_text(COMMANDS), withheld),
            runner=runner,
            memory=memory or OrderMemory(),
            answer=self.said.append,
            refresh=self._refresh,
            clock=self.clock,
            at_once=2,
            restart=restart,
        )

    async def order(self, verb: str, *args: str, **more: Any) -> list[Result]:  # noqa: ANN401  # fields of Order
        """Give one order and return what is said to it, as far as that goes now."""
        fields = {"id": "o1"} | more
        before = len(self.said)
        given = Order(verb=verb, args=args, **fields)
        self.desk.take(given, retained=False, wall_time=None)
        await turns()
        return self.said[before:]

    def _refresh(self) -> None:
        self.refreshes += 1


def phases(results: list[Result]) -> list[Phase]:
    return [result.phase for result in results]


async def until_answered(office: Office) -> Result:
    while not office.said[-1].phase.final:  # noqa: ASYNC110  # the id is written in a thread
        await asyncio.sleep(0)
    return office.said[-1]
