"""A master with a script, and what it is asked by `pirack install`."""

import argparse
import asyncio
from collections.abc import Callable

import msgspec

from broker.client.fake import FakeBroker
from broker.client.link import Connect, Message, Subscription
from broker.contract.messages import (
    Command,
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    Phase,
    Reply,
    ScanPhase,
    TargetRow,
    decode,
    encode,
)
from broker.contract.topics import Topics
from pirack.cli import parser
from pirack.install.conduct import Conductor
from pirack.install.screen import PlainScreen

TOPICS = Topics("lab")
OLD = InstallState(run="i-1", step=InstallStep.DONE, backend="dnsmasq", done=4, total=4)
NEW = msgspec.structs.replace(
    OLD, run="i-2", step=InstallStep.PREFLIGHT, done=0, total=2, by="ann"
)
FORECAST = ("stack 3 loses power", "it takes about 40 s")
WAITING = msgspec.structs.replace(NEW, step=InstallStep.CONFIRM, forecast=FORECAST)
SCAN = msgspec.structs.replace(
    WAITING, step=InstallStep.SCAN, stack=3, done=1, eta_s=20
)
DONE = msgspec.structs.replace(
    SCAN, step=InstallStep.DONE, stack=None, done=2, eta_s=None
)
LOST = "s03n2: no board was heard; check its card and cable, then scan stack 3 again"
PROBLEMS = msgspec.structs.replace(
    DONE, step=InstallStep.PROBLEMS, done=1, problems=(LOST,)
)
CANCELLED = msgspec.structs.replace(WAITING, step=InstallStep.CANCELLED)
BOARDS = (
    InstallBoard(
        slot=1,
        name="s03n1",
        address="192.168.23.18",
        mac="dc:a6:32:00:00:31",
        model="Raspberry Pi 4",
        verdict=InstallVerdict.OK,
        verified=True,
    ),
    InstallBoard(
        slot=2, name="s03n2", address="192.168.23.19", verdict=InstallVerdict.MISSING
    ),
)
STACK = InstallStack(stack=3, run="i-2", phase=ScanPhase.PROBLEMS, boards=BOARDS)


class Master:
    """A master with a script: to each first word of ``install``, what it publishes.

    Args:
        connect: Makes its link.
        script: Word to states.
    """

    def __init__(self, connect: Connect, **script: tuple[InstallState, ...]) -> None:
        self.script = script
        self.refusal = ""
        self.asked: list[tuple[str, Command]] = []
        self.link = connect(
            self,
            client_id="master",
            subscriptions=[Subscription(one) for one in TOPICS.command_filters()],
            status_topic=TOPICS.master_status,
        )

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        command = decode(message.payload, Command)
        self.asked.append((message.topic.removeprefix(TOPICS.prefix), command))
        phase = Phase.REFUSED if self.refusal else Phase.DONE
        row = TargetRow(node="", name="install", phase=phase, stdout="as you said")
        reply = Reply(
            id=command.id,
            verb="install",
            scope="rack",
            phase=phase,
            ok=not self.refusal,
            error=self.refusal,
            targets=() if self.refusal else (row,),
        )
        topic = message.topic.replace("/cmd/", "/reply/")
        self.link.publish(topic, encode(reply), qos=1)
        for state in () if self.refusal else self.script.get(command.args[0], ()):
            self.say(state)

    def say(self, state: InstallState) -> None:
        self.link.publish(TOPICS.install_state, encode(state), qos=1, retain=True)

    def show(self, stack: InstallStack) -> None:
        topic = TOPICS.install_stack(stack.stack)
        self.link.publish(topic, encode(stack), qos=1, retain=True)

    @property
    def words(self) -> list[str]:
        return [" ".join(command.args) for _, command in self.asked]


class Fingers:
    """Types one line; nothing at all where there is none."""

    def __init__(self, typed: str | None) -> None:
        self._typed = typed

    async def line(self) -> str | None:
        if self._typed is None:
            await asyncio.Event().wait()
        return self._typed


class Stage(Master):
    """The same on a broker in memory."""

    def __init__(self, **script: tuple[InstallState, ...]) -> None:
        self.broker = FakeBroker()
        super().__init__(self.broker.connect, **script)


async def begin() -> Stage:
    """Return a master with an old run behind it and a good one in its script."""
    stage = Stage(start=(NEW, WAITING), confirm=(SCAN, DONE))
    await stage.link.start()
    await stage.broker.settle()
    stage.say(OLD)
    stage.show(STACK)
    await stage.broker.settle()
    return stage


def arguments(line: str) -> argparse.Namespace:
    return parser(only="install").parse_args(["install", *line.split()])


def conductor(
    broker: FakeBroker,
    line: str,
    typed: str | None = None,
    ended: asyncio.Event | None = None,
) -> Conductor:
    return Conductor(
        broker.connect,
        TOPICS,
        arguments(line),
        person=Fingers(typed),
        screen=PlainScreen,
        ended=ended or asyncio.Event(),
    )


async def seen(broker: FakeBroker, true: Callable[[], bool]) -> None:
    while not true():
        await broker.settle()
        await asyncio.sleep(0)


async def turns(broker: FakeBroker) -> None:
    """Let everybody do what is due: to hear and to draw are turns of their own."""
    for _ in range(10):
        await broker.settle()
