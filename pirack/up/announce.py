"""What a person reads when the rack starts: calm, and every line of use; pure."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pirack.runfile import RunFile
from pirack.up.client_tools import line
from pirack.up.settings import Shape

EXAMPLE_STACK = 3
_LABEL_WIDTH = 9


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told at start.

    Args:
        run: How to reach the rack.
        shape: What is simulated.
        node_name: What this machine is called in the rack.
        broker: Program and version, for example ``Mosquitto 2.0.11``.
        data: Data directory.
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
    """Says what the rack holds."""
    here = f"this machine ({node_name})"
    if not shape.stacks:
        return here
    stacks = "1 stack" if shape.stacks == 1 else f"{shape.stacks} stacks"
    return f"{stacks} of {shape.boards}, simulated, and {here}"


def _label(name: str, text: str) -> str:
    return f"  {name:<{_LABEL_WIDTH}} {text}"
