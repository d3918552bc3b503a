"""How fast the master takes heartbeats, beside a bare paho subscriber.

The same packets, made beforehand, are written to the same Mosquitto; the receivers take
turns, each alone at its turn. A last message ends each burst, and its answer, on the
same connection and so in order, says that all before it was taken.
"""

import random
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence

import msgspec

from bench import bare_subscriber, invented, process, services
from bench.bus import Bus
from bench.figures import Figure, at_least_share
from bench.raw import RawPublisher, publish_packet
from bench.sandbox import BenchError, Sandbox
from broker.contract.messages import Command, encode
from broker.contract.topics import NodeLeaf, Scope, ScopeKind

CASE = "ingest"
NODES = 48
PER_NODE = 1000
MESSAGES = NODES * PER_NODE
ROUNDS = 5
BURST_S = 60.0
BARE = "bare paho"

_NOBODY = Scope(ScopeKind.NODE, "nobody")
_DROPPED = "$SYS/broker/publish/messages/dropped"


class Speed(msgspec.Struct, frozen=True):
    """How one receiver took one burst.

    Args:
        wall_s: From the first byte sent to the answer.
        cpu_s: Processor time of the receiver.
    """

    wall_s: float
    cpu_s: float


class Receiver(msgspec.Struct, frozen=True):
    """Who takes a burst, and how it is asked whether it has.

    Args:
        child: Its process.
        done: Topic of the last message.
        reply: Topic of the answer.
        question: Makes the last message's payload from an id.
    """

    child: "subprocess.Popen[bytes]"
    done: str
    reply: str
    question: Callable[[str], bytes]


def measure() -> list[Figure]:
    """Sends bursts to both receivers in turn and returns their medians."""
    packets = burst()
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        with Bus(port, _DROPPED) as bus:
            turns = [
                (take(port, _start_master, packets), take(port, _start_bare, packets))
                for _ in range(ROUNDS)
            ]
            _require_complete(bus)
    ours, bare = zip(*turns, strict=True)
    return _figures(ours, bare)


def burst() -> bytes:
    """Returns the packets: a heartbeat of each node in turn, as a rack sends them."""
    rng = random.Random(1)  # noqa: S311  # invented vitals, no secret
    topics = [invented.topic(node, NodeLeaf.HEARTBEAT) for node in range(NODES)]
    return b"".join(
        publish_packet(topics[node], invented.heartbeat(node, seq, rng))
        for seq in range(1, PER_NODE + 1)
        for node in range(NODES)
    )


def take(port: int, start: Callable[[Sandbox, int], Receiver], packets: bytes) -> Speed:
    """Starts a receiver, warm it up with one burst, measure the next, stop it."""
    with Sandbox() as sandbox:
        receiver = start(sandbox, port)
        with Bus(port, receiver.reply) as bus, RawPublisher(port) as publisher:
            introduce(publisher, NODES)
            _send(bus, publisher, receiver, packets)
            speed = _send(bus, publisher, receiver, packets)
            sandbox.require(receiver.child, receiver.done)
    return speed


def introduce(publisher: RawPublisher, nodes: int) -> None:
    """Says what invented nodes say when they connect."""
    for node in range(nodes):
        status = invented.topic(node, NodeLeaf.STATUS)
        details = invented.topic(node, NodeLeaf.DETAILS)
        publisher.send(
            publish_packet(details, invented.details(node, 10.0), retain=True)
            + publish_packet(status, b"online", retain=True)
        )


def _send(
    bus: Bus, publisher: RawPublisher, receiver: Receiver, packets: bytes
) -> Speed:
    mark = uuid.uuid4().hex
    last = publish_packet(receiver.done, receiver.question(mark))
    cpu_s = process.cpu_s(receiver.child.pid)
    began = time.monotonic()
    publisher.send(packets + last)
    ended, _, _ = bus.wait(
        lambda _, payload: mark.encode() in payload, BURST_S, "the end of a burst"
    )
    return Speed(ended - began, process.cpu_s(receiver.child.pid) - cpu_s)


def _start_master(sandbox: Sandbox, port: int) -> Receiver:
    settings = services.config(sandbox, port, services.master_table(sandbox))
    return Receiver(
        child=services.start_master(sandbox, port, settings),
        done=invented.TOPICS.command(_NOBODY, "ping"),
        reply=invented.TOPICS.reply(_NOBODY, "ping"),
        question=lambda mark: encode(Command(id=mark)),
    )


def _start_bare(sandbox: Sandbox, port: int) -> Receiver:
    heartbeats = invented.TOPICS.node("+", NodeLeaf.HEARTBEAT)
    child = sandbox.python("bare", "-m", "bench.bare_subscriber", str(port), heartbeats)
    receiver = Receiver(
        child=child,
        done=bare_subscriber.DONE,
        reply=bare_subscriber.ACK,
        question=lambda mark: mark.encode(),
    )
    _wait_for_bare(port, receiver)
    return receiver


def _wait_for_bare(port: int, receiver: Receiver) -> None:
    """Asks until it answers: it says nothing of itself when it is subscribed."""
    with Bus(port, receiver.reply) as bus:
        deadline = time.monotonic() + services.START_S
        while not bus.heard():
            if time.monotonic() > deadline:
                text = "the bare subscriber did not answer"
                raise BenchError(text)
            bus.publish(receiver.done, b"ready?")
            time.sleep(0.1)


def _require_complete(bus: Bus) -> None:
    """A receiver that is sent less is faster; nothing may have been dropped."""
    time.sleep(1.5)
    for _, topic, payload in bus.heard():
        if topic == _DROPPED and int(payload) > 0:
            text = f"the broker dropped {int(payload)} messages"
            raise BenchError(text)


def _figures(ours: Sequence[Speed], bare: Sequence[Speed]) -> list[Figure]:
    def row(what: str, unit: str, value: Callable[[Speed], float]) -> Figure:
        rate = unit.startswith("msg")
        return Figure(
            case=CASE,
            what=what,
            ours=statistics.median(map(value, ours)),
            unit=unit,
            beside={BARE: statistics.median(map(value, bare))},
            target=at_least_share(0.75, BARE) if rate else None,
            note=(
                f"median of {ROUNDS} bursts of {MESSAGES} heartbeats of about 300 "
                "bytes, receivers in turn"
                if rate
                else ""
            ),
        )

    return [
        row("rate", "msg/s", lambda speed: MESSAGES / speed.wall_s),
        row("rate per core", "msg/CPU-s", lambda speed: MESSAGES / speed.cpu_s),
        row("CPU per message", "µs", lambda speed: speed.cpu_s / MESSAGES * 1e6),
    ]
