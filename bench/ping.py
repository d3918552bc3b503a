"""How long a rack-wide ``ping`` takes until the whole receipt is there.

Real Mosquitto, real master, simulated nodes that run the agent's code. Beside it: the
same number of bare paho clients, asked and heard by one bare paho client, without a
master in between.
"""

import random
import time
import uuid
from collections.abc import Callable

from bench import bare_echo, process, services
from bench.bus import Bus
from bench.figures import Figure, at_most, percentile
from bench.invented import TOPICS
from bench.sandbox import BenchError, Sandbox
from broker.contract.messages import Command, Phase, Reply, decode, encode
from broker.contract.topics import NodeLeaf, Scope, ScopeKind

CASE = "ping"
BOARDS = 4
STACKS = 12
STACKS_LARGE = 250
PINGS = 150
PINGS_LARGE = 3
WARM_UP = 5
FLOOR_S = 30.0
PING_S = 30.0
FLOOR = "bare paho echo"

_RACK = Scope(ScopeKind.RACK)


def measure() -> list[Figure]:
    """Ping a small rack many times and a large one a few times."""
    floor_ms = _floor(STACKS * BOARDS)
    small_ms, _ = _rack(STACKS, PINGS)
    large_ms, cores = _rack(STACKS_LARGE, PINGS_LARGE)
    nodes = STACKS * BOARDS

    def row(what: str, percent: float, bound_ms: float | None) -> Figure:
        return Figure(
            case=CASE,
            what=what,
            ours=percentile(small_ms, percent),
            unit="ms",
            beside={FLOOR: percentile(floor_ms, percent)},
            target=at_most(bound_ms) if bound_ms else None,
            note=f"{PINGS} pings, from the command to the last row of the receipt",
        )

    large = Figure(
        case=CASE,
        what=f"rack of {STACKS_LARGE * BOARDS}, slowest",
        ours=max(large_ms),
        unit="ms",
        target=at_most(3000),
        note=f"of {PINGS_LARGE} pings",
    )
    busy = Figure(
        case=CASE,
        what=f"master during a ping of {STACKS_LARGE * BOARDS}",
        ours=100 * cores,
        unit="%",
        target=at_most(100),
        note="processor time by time, of one core",
    )
    return [
        row(f"rack of {nodes}, p50", 50, None),
        row(f"rack of {nodes}, p99", 99, 500),
        large,
        busy,
    ]


def _floor(clients: int) -> list[float]:
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        with Bus(port, bare_echo.result_topic("+")) as bus:
            sandbox.python("echo", "-m", "bench.bare_echo", str(port), str(clients))
            _until_all_echo(bus, clients)
            for _ in range(WARM_UP):
                _echo(bus, clients)
            return _repeat(lambda: _echo(bus, clients), PINGS)


def _until_all_echo(bus: Bus, clients: int) -> None:
    deadline = time.monotonic() + FLOOR_S
    while len({topic for _, topic, _ in bus.heard()}) < clients:
        if time.monotonic() > deadline:
            text = f"only some of {clients} bare clients answer"
            raise BenchError(text)
        for number in range(clients):
            bus.publish(bare_echo.order_topic(number), b"ready?")
        time.sleep(0.2)


def _echo(bus: Bus, clients: int) -> float:
    mark = uuid.uuid4().hex.encode()
    left = set(range(clients))
    bus.forget()
    began = time.monotonic()
    for number in left:
        bus.publish(bare_echo.order_topic(number), mark, qos=1)

    def last(topic: str, payload: bytes) -> bool:
        if payload == mark:
            left.discard(int(topic.split("/")[1]))
        return not left

    ended, _, _ = bus.wait(last, PING_S, "the bare echoes")
    return (ended - began) * 1000


def _rack(stacks: int, pings: int) -> tuple[list[float], float]:
    """Returns how long each ping took, ms, and the cores the master used meanwhile."""
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        settings = services.config(
            sandbox,
            port,
            services.master_table(sandbox),
            services.rack_tables(stacks, BOARDS),
        )
        master = services.start_master(sandbox, port, settings)
        with Bus(port, TOPICS.node("+", NodeLeaf.STATE)) as bus:
            services.start(sandbox, "simulate", settings)
            services.wait_online(bus, stacks * BOARDS)
        reply = TOPICS.reply(_RACK, "ping")
        with Bus(port, reply) as bus:
            for _ in range(min(WARM_UP, pings)):
                _ping(bus, stacks * BOARDS)
            began, used_s = time.monotonic(), process.cpu_s(master.pid)
            values = _repeat(lambda: _ping(bus, stacks * BOARDS), pings)
            used_s = process.cpu_s(master.pid) - used_s
            return values, used_s / (time.monotonic() - began)


def _ping(bus: Bus, nodes: int) -> float:
    command = Command(id=uuid.uuid4().hex[:16])
    parts: dict[int, Reply] = {}
    bus.forget()
    began = time.monotonic()
    bus.publish(TOPICS.command(_RACK, "ping"), encode(command), qos=1)

    def whole(_topic: str, payload: bytes) -> bool:
        reply = decode(payload, Reply)
        if reply.id == command.id and reply.phase.final:
            parts[reply.part] = reply
        return bool(parts) and len(parts) == reply.parts

    ended, _, _ = bus.wait(whole, PING_S, "the receipt of a ping")
    rows = [row for reply in parts.values() for row in reply.targets]
    bad = [row for row in rows if row.phase is not Phase.DONE]
    if len(rows) != nodes or bad:
        text = f"the receipt has {len(rows)} rows of {nodes}, {len(bad)} not done"
        raise BenchError(text)
    return (ended - began) * 1000


def _repeat(once: Callable[[], float], times: int) -> list[float]:
    """Measures at uneven distances, so that no timer of ours is met in step."""
    rng = random.Random(7)  # noqa: S311  # spacing, no secret
    values = []
    for _ in range(times):
        time.sleep(rng.uniform(0.02, 0.1))
        values.append(once())
    return values
