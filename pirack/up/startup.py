"""What a person reads at the start: how to reach the rack, then that it is up."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.client.link import Connect, Subscription
from broker.common.errors import LinkError
from broker.contract.messages import MasterDetails, RackState, Verdict
from broker.contract.topics import NodeLeaf, Topics
from pirack.rack_client import RackClient
from pirack.runfile import RunFile
from pirack.up.client_tools import line
from pirack.up.settings import Shape

EXAMPLE_STACK = 3
_LABEL_WIDTH = 9
LONGEST_S = 60.0
LOOK_S = 0.1
CLOCK_S = 0.5
"""Rounding between the monotonic clock and the wall's."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told at start.

    Args:
        node_name: What this machine is called in the rack.
        broker: Program and version, for example ``Mosquitto 2.0.11``.
        publish: How ``mosquitto_pub`` is called here.
        subscribe: How ``mosquitto_sub`` is called here.
        pirack: How ``pirack`` is called here.
        moved: Ports that were taken: ``(what, wanted, got)``.
        join: Host and port that real Pis are told; None where they cannot join.
    """

    run: RunFile
    shape: Shape
    node_name: str
    broker: str
    data: Path
    publish: str
    subscribe: str
    pirack: str
    moved: tuple[tuple[str, int, int], ...] = ()
    join: tuple[str, int] | None = None


def lines(told: Announcement) -> Iterator[str]:
    """Returns what is printed, line by line."""
    run = told.run
    for what, wanted, got in told.moved:
        yield f"Port {wanted} is taken by another program: the {what} uses {got}."
    if told.moved:
        yield ""
    yield f"PiRack {run.rack}: {contents(told.shape, told.node_name)}"
    yield ""
    yield _label("page", run.url)
    yield _label("sign in", f"{run.login.username}   {run.login.password}")
    yield _label("broker", f"{told.broker} on {run.mqtt.host}:{run.mqtt.port}")
    if told.join:
        host, port = told.join
        yield _label("for Pis", f"{host}, port {port}, encrypted")
    yield _label("data", str(told.data))
    yield ""
    yield "In another terminal, ready to paste:"
    yield ""
    yield from (f"  {text}" for text in examples(told))
    yield ""
    if told.join:
        yield "A Pi joins with its id, its serial or its MAC address:"
        yield ""
        yield f"  {told.pirack} node add <which>"
        yield ""


def examples(told: Announcement) -> tuple[str, ...]:
    """Returns lines that work when they are pasted: listen, ask, the same by pirack."""
    prefix = f"pirack/v1/{told.run.rack}"
    target = example_target(told.shape)
    tools = Path(told.run.tools)
    listen = line(tools, told.subscribe, "-v", "-t", f"{prefix}/{target}/reply/+")
    ask = line(tools, told.publish, "-t", f"{prefix}/{target}/cmd/ping", "-n")
    return (listen, ask, f"{told.pirack} send {target} ping")


def example_target(shape: Shape) -> str:
    """Returns a target that exists: a stack where there are stacks, else the rack."""
    return f"stack/{min(EXAMPLE_STACK, shape.stacks)}" if shape.stacks else "rack"


def contents(shape: Shape, node_name: str) -> str:
    """Returns what the rack consists of, in words."""
    here = f"this machine ({node_name})"
    if not shape.stacks:
        return here
    stacks = "1 stack" if shape.stacks == 1 else f"{shape.stacks} stacks"
    return f"{stacks} of {shape.boards}, simulated, and {here}"


def _label(name: str, text: str) -> str:
    return f"  {name:<{_LABEL_WIDTH}} {text}"


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rack came.

    Args:
        off: Nodes whose power is off on purpose; they do not come online.
    """

    online: int
    nodes: int
    page: bool
    took_s: float
    off: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is left to wait for."""
        return self.page and self.online + self.off >= self.nodes

    def __str__(self) -> str:
        """The last line of the start."""
        page = "the page answers" if self.page else "the page does not answer yet"
        off = f", {self.off} off on purpose" if self.off else ""
        text = (
            f"{self.online} of {self.nodes} online{off}, {page}: {self.took_s:.1f} s."
        )
        if self.complete:
            return f"Ready. {text}"
        return f"Not all is up. {text} `pirack doctor` says more."


class OnlineCount:
    """Counts who is online according to the new master; pure.

    What the broker kept from the last run counts for nothing.

    Args:
        since: Unix time of this start: the master must be younger, seconds.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._master_is_new = False
        self.online = 0
        self.off = 0
        """Nodes without power on purpose."""

    def take(self, value: object) -> None:
        """Reads what the master publishes of itself and of the rack."""
        match value:
            case MasterDetails(started=started):
                self._master_is_new = started >= self._since
            case RackState(totals=totals) if self._master_is_new:
                self.online = totals.get(Verdict.ONLINE, 0)
                self.off = totals.get(Verdict.OFF, 0)


async def wait(
    connect: Connect, topics: Topics, page: tuple[str, int], *, nodes: int, began: float
) -> Readiness:
    """Waits until all is up, at most ``LONGEST_S``; returns how far it came.

    Args:
        connect: As somebody who may read the rack's state.
        page: Host and port of the page.
        began: When the start began, on the monotonic clock.
    """
    took_s = time.monotonic() - began
    count = OnlineCount(since=time.time() - took_s - CLOCK_S)
    client = RackClient(
        connect,
        topics,
        name="up",
        hears=[
            Subscription(topics.rack_state, qos=1),
            Subscription(topics.master_details, qos=1),
            Subscription(topics.node("+", NodeLeaf.HEARTBEAT)),
        ],
        on_message=lambda _message, value: count.take(value),
        connect_s=LONGEST_S,
    )
    seen = Readiness(online=0, nodes=nodes, page=False, took_s=LONGEST_S)
    with contextlib.suppress(LinkError):
        async with client:
            while not seen.complete and took_s <= LONGEST_S:
                await asyncio.sleep(LOOK_S)
                took_s = time.monotonic() - began
                seen = Readiness(
                    # A node says it itself, too: the master may judge by the last run.
                    online=min(count.online, len(client.picture.heartbeats)),
                    nodes=nodes,
                    page=seen.page or await _answers(*page),
                    took_s=took_s,
                    off=count.off,
                )
    return seen


async def _answers(host: str, port: int) -> bool:
    """Returns whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
