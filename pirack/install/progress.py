"""What the rack tells of the install run, as it comes."""

import asyncio
import contextlib
from collections.abc import Callable

from broker.client.link import Message, Subscription
from broker.common.errors import ContractError
from broker.contract.messages import (
    Event,
    EventKind,
    InstallStack,
    InstallState,
    ScanPhase,
    Status,
    decode,
)
from broker.contract.topics import Fixed, FixedTopic, InstallStackTopic, Topics
from pirack.pipe import cleaned


class Progress:
    """Keeps the run's newest state and rows; a listener of a link.

    Args:
        topics: Of the rack.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.state: InstallState | None = None
        """None until the master has said something."""
        self.stacks: dict[int, InstallStack] = {}
        self.master = ""
        """Its plain status; empty until heard."""
        self.trouble = ""
        """Why nothing is heard; empty while the broker is there."""
        self.told: Callable[[Event], None] = lambda _event: None
        """Who hears the run's lines of history."""
        self._changed = asyncio.Event()

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What must be heard."""
        topics = self._topics
        return (
            Subscription(topics.install_state, qos=1),
            Subscription(topics.install_stack("+"), qos=1),
            Subscription(topics.event, qos=1),
            Subscription(topics.master_status, qos=1),
        )

    @property
    def touched(self) -> dict[int, InstallStack]:
        """The stacks that the latest run is about, in order."""
        return {
            number: stack
            for number, stack in sorted(self.stacks.items())
            if stack.phase is not ScanPhase.UNTOUCHED
        }

    @property
    def away(self) -> str:
        """Say who is away, so that nothing new is heard; empty if nobody is."""
        if self.trouble:
            return f"the broker is away ({self.trouble}); the run does not need it"
        if self.master == Status.OFFLINE:
            return "the master is away; it goes on with the run when it is back"
        return ""

    def on_connected(self, session: str) -> None:
        """Forget the trouble."""
        del session
        self.trouble = ""
        self._changed.set()

    def on_disconnected(self, reason: str) -> None:
        """Remember why."""
        self.trouble = reason
        self._changed.set()

    def on_message(self, message: Message) -> None:
        """Take it into the picture; what does not decode changes nothing."""
        with contextlib.suppress(ContractError):
            self._take(message)
        self._changed.set()

    def _take(self, message: Message) -> None:
        match self._topics.parse(message.topic):
            case FixedTopic(Fixed.INSTALL_STATE):
                self.state = cleaned(decode(message.payload, InstallState), "\n")
            case InstallStackTopic(stack=number) if message.payload:
                self.stacks[number] = cleaned(decode(message.payload, InstallStack))
            case InstallStackTopic(stack=number):
                self.stacks.pop(number, None)
            case FixedTopic(Fixed.EVENT):
                event = cleaned(decode(message.payload, Event))
                if event.kind is EventKind.INSTALL:
                    self.told(event)
            case FixedTopic(Fixed.MASTER_STATUS):
                self.master = message.payload.decode("ascii", "replace")
            case _:
                pass

    async def until(self, true: Callable[[InstallState], bool]) -> InstallState:
        """Wait until the run's state is as wanted, and return it."""
        while self.state is None or not true(self.state):
            await self.news()
        return self.state

    async def news(self) -> None:
        """Wait for anything new since this last returned.

        Cleared afterwards, not before: what comes before the waiting begins counts, for
        it may be the last word of a run.
        """
        await self._changed.wait()
        self._changed.clear()
