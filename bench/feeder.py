"""A rack that exists only on the broker: retained state once, heartbeats for ever.

No master and no agents run, so that the machine's cores are left to what is measured.
Each heartbeat of a node has another temperature, from a cycle longer than any sensible
delay: whoever sees the number on a page knows which heartbeat it came from.
"""

import bisect
import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

from bench import invented
from bench.raw import RawPublisher, publish_packet
from broker.contract.messages import (
    NodeState,
    Payload,
    Power,
    RackState,
    StackState,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf

COLDEST_C = 35
TEMPERATURES = 30
"""Below every threshold: the same tile, another number."""
PERIOD_S = 1.017
"""A little off a second, so that heartbeats drift through the page's ticks."""
BOARDS = 4
COLUMNS = 4

Sent = tuple[float, int, int]
"""Unix time in seconds, number of the node, temperature in °C."""
Seen = tuple[float, int, int]
"""The same of a number that a page now shows."""


class Feeder(threading.Thread):
    """Publishes until it is stopped, nodes evenly spread over the period.

    Args:
        port: Of the broker.
        nodes: How many.
    """

    def __init__(self, port: int, nodes: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self._port = port
        self._nodes = nodes
        self._ended = threading.Event()
        self.sent: list[Sent] = []

    def run(self) -> None:
        """Publishes the state, then heartbeats when they are due."""
        rng = random.Random(3)  # noqa: S311  # invented vitals, no secret
        due = time.monotonic()
        with RawPublisher(self._port, "feeder") as publisher:
            publisher.send(_retained(self._nodes))
            for turn in itertools.count():
                node, seq = turn % self._nodes, turn // self._nodes + 1
                due += PERIOD_S / self._nodes
                if self._ended.wait(max(due - time.monotonic(), 0)):
                    return
                self._beat(publisher, node, seq, rng)

    def stop(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self.join(10)

    def _beat(
        self, publisher: RawPublisher, node: int, seq: int, rng: random.Random
    ) -> None:
        temperature_c = temperature(node, seq)
        payload = invented.heartbeat(node, seq, rng, temperature_c=temperature_c)
        packet = publish_packet(invented.topic(node, NodeLeaf.HEARTBEAT), payload)
        self.sent.append((time.time(), node, temperature_c))
        publisher.send(packet)


def temperature(node: int, seq: int) -> int:
    """Returns the temperature of a heartbeat in °C; the next one's is another."""
    return COLDEST_C + (node * 7 + seq) % TEMPERATURES


def name(node: int) -> str:
    """Returns the display name of a node, counted from 0."""
    return f"s{node // BOARDS + 1:02d}n{node % BOARDS + 1}"


def delays_s(sent: Iterable[Sent], seen: Iterable[Seen]) -> list[float]:
    """Returns how old each number was when it was drawn, seconds.

    A number belongs to the last heartbeat of that node with that temperature before it
    was seen; one that nobody sent (a page that shows a stored value) is left out.
    """
    times: dict[tuple[int, int], list[float]] = defaultdict(list)
    for at, node, temperature_c in sent:
        times[node, temperature_c].append(at)
    found = []
    for at, node, temperature_c in seen:
        candidates = times.get((node, temperature_c), [])
        before = bisect.bisect_right(candidates, at)
        if before:
            found.append(at - candidates[before - 1])
    return found


def _retained(nodes: int) -> bytes:
    """Returns everything a page finds on the broker when it starts."""
    stacks = range(1, (nodes - 1) // BOARDS + 2)
    rack = RackState(
        rack=invented.RACK,
        stacks=tuple(stacks),
        nodes=nodes,
        totals={Verdict.ONLINE: nodes},
        versions={"pirack": "0.1.0"},
    )
    packets = [
        publish_packet(invented.TOPICS.master_status, b"online", retain=True),
        _kept(invented.TOPICS.rack_state, rack),
    ]
    packets += [_kept(invented.TOPICS.stack(stack), _stack(stack)) for stack in stacks]
    for node in range(nodes):
        details = invented.details(node, 1.0)
        packets += [
            publish_packet(
                invented.topic(node, NodeLeaf.STATUS), b"online", retain=True
            ),
            publish_packet(
                invented.topic(node, NodeLeaf.DETAILS), details, retain=True
            ),
            _kept(invented.topic(node, NodeLeaf.STATE), _state(node)),
        ]
    return b"".join(packets)


def _kept(topic: str, message: Payload) -> bytes:
    return publish_packet(topic, encode(message), retain=True)


def _stack(number: int) -> StackState:
    return StackState(
        stack=number,
        name=f"stack {number}",
        x=(number - 1) % COLUMNS,
        y=(number - 1) // COLUMNS,
        slots=BOARDS,
        wanted=Power.ON,
        power=Power.ON,
        worst=Verdict.ONLINE,
        totals={Verdict.ONLINE: BOARDS},
    )


def _state(node: int) -> NodeState:
    return NodeState(
        id=invented.node_id(node),
        name=name(node),
        verdict=Verdict.ONLINE,
        since=1_700_000_000.0,
        stack=node // BOARDS + 1,
        slot=node % BOARDS + 1,
        power=Power.ON,
    )
