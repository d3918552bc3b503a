"""No command lets text of a node reach the terminal as something that it obeys."""

import asyncio
import contextlib
import os
import pty
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Message, Subscription
from broker.client.mqtt_link import connector
from broker.contract.messages import (
    Command,
    Event,
    EventKind,
    InstallBoard,
    InstallStack,
    InstallState,
    MasterDetails,
    NodeState,
    Phase,
    RackState,
    Reply,
    StackState,
    TargetRow,
    decode,
    encode,
)
from broker.contract.protocol_doc import EXAMPLES
from broker.contract.topics import NodeLeaf, Topics
from tests.mosquitto import OpenMosquitto

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

TOPICS = Topics("lab")
OBEYED = ("\x1b]0;", "\x07", "\x1b[31;8m", "\x9b", "\u202e", "\u2066", "\x7f", "\u2028")
"""Window title, bell, hidden text, C1, bidirectional overrides, DEL, line separator."""
EVIL = f"mal{''.join(OBEYED)}\r\x00ice"
SECONDS = 8.0

T = TypeVar("T")


def hostile(value: T) -> T:
    """Return a message whose free texts are all hostile; what decodes no more stays."""
    kind: type[T] = type(value)

    def poison(plain: Any, whole: Any, path: tuple[Any, ...]) -> None:  # noqa: ANN401  # JSON
        keys = plain if isinstance(plain, dict) else range(len(plain))
        for key in list(keys):
            old = plain[key]
            if isinstance(old, dict | list):
                poison(old, whole, (*path, key))
            elif isinstance(old, str):
                plain[key] = EVIL
                try:
                    msgspec.convert(whole, kind)
                except (ValueError, TypeError):
                    plain[key] = old

    whole = msgspec.json.decode(msgspec.json.encode(value))
    poison(whole, whole, ())
    return msgspec.convert(whole, kind)


def example(kind: type[T]) -> T:
    return next(one for one in EXAMPLES if isinstance(one, kind))


ROW = TargetRow(
    node="pi-51000302", name="x", phase=Phase.FAILED, error="x", stdout="x", stderr="x"
)
STATE = msgspec.structs.replace(example(NodeState), faults=("x",), tags=("x",))
EVENT = msgspec.structs.replace(
    example(Event), kind=EventKind.INSTALL, incident="x", correlation="x"
)
RUN = InstallState(
    run="x", by="x", backend="x", interface="x", forecast=("x",),
    problems=("x",),
)  # fmt: skip
BOARD = InstallBoard(slot=1, name="x", address="x", mac="x", model="x", serial="x")


class Liar:
    """A master that says and answers hostile things."""

    def __init__(self, port: int) -> None:
        self.link = connector(Endpoint(port=port))(
            self,
            client_id="master",
            subscriptions=[Subscription(one) for one in TOPICS.command_filters()],
            status_topic=TOPICS.master_status,
        )

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        asked = decode(message.payload, Command)
        plain = Reply(
            id="x", verb="x", scope="x", phase=Phase.FAILED, ok=False, error="x",
            targets=(ROW,), events=(EVENT,), by="x",
        )  # fmt: skip
        events = "/cmd/events" in message.topic
        answer = msgspec.structs.replace(
            hostile(plain),
            id=asked.id,
            ok=events,
            phase=Phase.DONE if events else Phase.FAILED,
        )
        topic = message.topic.replace("/cmd/", "/reply/")
        self.link.publish(topic, encode(answer), qos=1)

    def say(self) -> None:
        rack = RackState(rack="lab", nodes=1, frozen="x")
        stack = InstallStack(stack=3, run="x", boards=(BOARD,))
        for topic, one in (
            (TOPICS.node(STATE.id, NodeLeaf.STATE), STATE),
            (TOPICS.stack(3), example(StackState)),
            (TOPICS.rack_state, rack),
            (TOPICS.install_state, RUN),
            (TOPICS.install_stack(3), stack),
            (TOPICS.master_details, example(MasterDetails)),
        ):
            said = hostile(one)
            if isinstance(said, NodeState):
                said = msgspec.structs.replace(said, id=STATE.id)
            self.link.publish(topic, encode(said), qos=1, retain=True)
        self.link.publish(TOPICS.event, encode(hostile(EVENT)), qos=1)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    broker = OpenMosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker.port
    broker.stop()


@pytest.fixture
async def liar(port: int) -> AsyncIterator[Liar]:
    made = Liar(port)
    await made.link.start()
    assert await made.link.wait_connected(30)
    made.say()
    yield made
    await made.link.stop()


async def said_on_a_terminal(liar: Liar, port: int, words: str, cwd: Path) -> str:
    """Return all that a command writes on a terminal within some seconds."""
    ours, its = pty.openpty()
    written = bytearray()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            written.extend(os.read(ours, 65536))
        except OSError:
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    where = ("--host", "127.0.0.1", "--port", str(port), "--rack", TOPICS.rack)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pirack.cli", *words.split(), *where),
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=cwd,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(its)
    until = time.monotonic() + SECONDS
    while process.returncode is None and time.monotonic() < until:
        liar.say()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)
    if process.returncode is None:
        process.terminate()
        await process.wait()
    await asyncio.sleep(0.1)
    loop.remove_reader(ours)
    os.close(ours)
    return written.decode(errors="replace")


@pytest.mark.parametrize(
    "words",
    [
        "watch",
        "watch --once",
        "watch --json",
        "events",
        "events --json",
        "events --follow",
        "send stack/3 ping",
        "send s03n2 journal --json",
        "send rack reboot --confirm rack",
        "install status",
        "install start",
        "install cancel",
        "doctor",
        "doctor --json",
    ],
)
async def test_nothing_that_a_terminal_obeys_comes_from_a_message(
    liar: Liar, port: int, words: str, tmp_path: Path
) -> None:
    said = await said_on_a_terminal(liar, port, words, tmp_path)
    assert "mal" in said, said
    assert [mark for mark in OBEYED if mark in said] == []
