"""A master that answers commands as a test says."""

from collections.abc import Callable, Iterable

import msgspec

from broker.client.link import Connect, Message, Subscription
from broker.contract.messages import Command, Phase, Reply, decode, encode
from broker.contract.topics import Topics

TOPICS = Topics("lab")


def reply(phase: Phase = Phase.DONE, **fields: object) -> Reply:
    """Returns a reply to any command: the scripted master puts its id in."""
    whole = {"id": "", "verb": "ping", "scope": "rack", "phase": phase} | fields
    return msgspec.convert(whole, Reply, from_attributes=True)


class ScriptedMaster:
    """A master that answers commands as a test says.

    Args:
        connect: Makes its link.
        answer: Returns the replies to a command.
        status_topic: Of its presence; None for none, as the simulator.
    """

    def __init__(
        self,
        connect: Connect,
        answer: Callable[[Command], Iterable[Reply]],
        status_topic: str | None = TOPICS.master_status,
    ) -> None:
        self.asked: list[tuple[str, Command]] = []
        """Topics without the prefix, and commands."""
        self._answer = answer
        commands = (*TOPICS.command_filters(), f"{TOPICS.prefix}/sim/cmd/+")
        self.link = connect(
            self,
            client_id="master",
            subscriptions=[Subscription(one) for one in commands],
            status_topic=status_topic,
        )

    async def start(self) -> None:
        await self.link.start()
        assert await self.link.wait_connected(30)

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        command = decode(message.payload, Command)
        self.asked.append((message.topic.removeprefix(TOPICS.prefix), command))
        topic = message.topic.replace("/cmd/", "/reply/")
        for one in self._answer(command):
            said = msgspec.structs.replace(one, id=command.id)
            self.link.publish(topic, encode(said), qos=1)
