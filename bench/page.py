"""What the page costs its server, and how soon a heartbeat is read in a browser.

The same rack feeds our dashboard and a page of naive label bindings, one after the
other, each with one real Chromium and further tabs that speak its protocol.
"""

import math
import sys
import time
from collections.abc import Callable

import msgspec
from playwright.sync_api import Browser, BrowserContext

from bench import chromium, invented, process, services
from bench.feeder import Feeder, delays_s
from bench.figures import Figure, Target, at_most, percentile
from bench.sandbox import BenchError, Sandbox, free_port
from bench.servers import NAIVE, Server, naive, ours, serves
from broker.contract.topics import NodeLeaf

CASE = "page"
BARE = "bare paho"
WINDOW_S = 20.0
FLOOR_S = 10.0
SETTLE_S = 4.0
TABS_S = 90.0


class Load(msgspec.Struct, frozen=True):
    """How much is asked of a page, and what it may cost.

    Args:
        nodes: In the rack, a heartbeat a second each.
        browsers: That look.
        cpu: Processor of the server, percent of one core.
        memory: Of the server, for each browser, MB.
        delay: From heartbeat to text, 95 of 100, milliseconds; None: not drawn as
            text at that size.
    """

    nodes: int
    browsers: int
    cpu: Target
    memory: Target
    delay: Target | None = None


LOADS = (
    Load(49, 5, at_most(5), at_most(0.4), at_most(300)),
    Load(1000, 20, at_most(12), at_most(1.3)),
)


class Cost(msgspec.Struct, frozen=True):
    """What one page took under one load.

    Args:
        cpu_percent: Of one core.
        memory_mb: Growth of resident memory for each browser after the first.
        delays_ms: From heartbeat to text; empty when no number changed.
        seen_percent: Of the heartbeats sent in the window, how many were drawn.
        tabs: Browsers that were there at the end.
    """

    cpu_percent: float
    memory_mb: float
    delays_ms: list[float]
    seen_percent: float
    tabs: int


def measure() -> list[Figure]:
    """Puts both pages under both loads."""
    figures: list[Figure] = []
    with chromium.browser() as browser:
        for load in LOADS:
            mine = _run(browser, ours(), load)
            if mine.tabs < load.browsers:
                text = f"only {mine.tabs} of {load.browsers} browsers stayed"
                raise BenchError(text)
            figures += _figures(load, mine, _run(browser, naive(), load), _floor(load))
    return figures


def _floor(load: Load) -> float:
    """Returns what only receiving the heartbeats costs: paho, percent of one core."""
    with Sandbox() as sandbox:
        port = sandbox.mosquitto()
        rack = Feeder(port, load.nodes)
        rack.start()
        sandbox.callback(rack.stop)
        heartbeats = invented.TOPICS.node("+", NodeLeaf.HEARTBEAT)
        child = sandbox.python(
            BARE, "-m", "bench.bare_subscriber", str(port), heartbeats
        )
        time.sleep(SETTLE_S)
        cpu_s = process.cpu_s(child.pid)
        time.sleep(FLOOR_S)
        return 100 * (process.cpu_s(child.pid) - cpu_s) / FLOOR_S


class _Visit(msgspec.Struct, frozen=True):
    """A started page and who looks at it."""

    sandbox: Sandbox
    context: BrowserContext
    server: Server
    load: Load
    rack: Feeder
    url: str
    pid: int


def _run(browser: Browser, server: Server, load: Load) -> Cost:
    with Sandbox() as sandbox:
        mqtt_port, http_port = sandbox.mosquitto(), free_port()
        rack = Feeder(mqtt_port, load.nodes)
        rack.start()
        sandbox.callback(rack.stop)
        child = server.start(sandbox, mqtt_port, http_port, load.nodes)
        url = f"http://127.0.0.1:{http_port}/"
        sandbox.wait(child, server.name, lambda: serves(url), services.START_S)
        context = browser.new_context(viewport=chromium.WINDOW)
        sandbox.callback(context.close)
        return _watch(_Visit(sandbox, context, server, load, rack, url, child.pid))


def _watch(visit: _Visit) -> Cost:
    """Opens Chromium, then the other tabs, and measures over the window.

    The first browser also makes the server load what it loads once; memory is counted
    from there, for each further one.
    """
    page = visit.context.new_page()
    visit.server.sign_in(page, visit.url)
    time.sleep(SETTLE_S)
    alone = process.rss_bytes(visit.pid)
    _open_tabs(visit)
    time.sleep(SETTLE_S)
    chromium.observe(page, visit.server.tiles)
    sent_before, cpu_s = len(visit.rack.sent), process.cpu_s(visit.pid)
    began = time.monotonic()
    page.wait_for_timeout(WINDOW_S * 1000)
    cpu_s, took_s = process.cpu_s(visit.pid) - cpu_s, time.monotonic() - began
    grown = process.rss_bytes(visit.pid) - alone
    numbers = {visit.server.key(node): node for node in range(visit.load.nodes)}
    delays = delays_s(visit.rack.sent, chromium.seen(page, numbers))
    return Cost(
        cpu_percent=100 * cpu_s / took_s,
        memory_mb=grown / (visit.load.browsers - 1) / 1e6,
        delays_ms=[1000 * delay for delay in delays],
        seen_percent=100 * len(delays) / (len(visit.rack.sent) - sent_before),
        tabs=1 + _tabs(visit.sandbox),
    )


def _open_tabs(visit: _Visit) -> None:
    cookie = "; ".join(
        f"{each.get('name')}={each.get('value')}"
        for each in visit.context.cookies(visit.url)
    )
    count = visit.load.browsers - 1
    tabs = visit.sandbox.start(
        "tabs",
        [sys.executable, "-m", "bench.tabs", visit.url, str(count)],
        environment={"BENCH_COOKIE": cookie},
    )
    deadline = time.monotonic() + TABS_S
    while _tabs(visit.sandbox) < count and time.monotonic() < deadline:
        visit.sandbox.require(tabs, "tabs")
        time.sleep(0.1)


def _tabs(sandbox: Sandbox) -> int:
    lines = [line for line in sandbox.log("tabs").splitlines() if "tabs " in line]
    return int(lines[-1].split()[1]) if lines else 0


def _figures(
    load: Load, mine: Cost, naive_cost: Cost, floor_percent: float
) -> list[Figure]:
    where = f"{load.nodes} nodes, {load.browsers} browsers"
    note = f"{where}, over {WINDOW_S:g} s; "
    if naive_cost.tabs < load.browsers:
        note += f"{naive_cost.tabs} of them stayed with the naive page; "

    def row(
        what: str,
        unit: str,
        value: Callable[[Cost], float],
        target: Target | None = None,
        more: str = "",
    ) -> Figure:
        return Figure(
            case=CASE,
            what=f"{where}: {what}",
            ours=value(mine),
            unit=unit,
            beside={NAIVE: value(naive_cost)},
            target=target,
            note=note + more if more else "",
        )

    def delay(percent: float) -> Callable[[Cost], float]:
        return lambda cost: (
            percentile(cost.delays_ms, percent) if cost.delays_ms else math.inf
        )

    found = [
        Figure(
            case=CASE,
            what=f"{where}: server CPU",
            ours=mine.cpu_percent,
            unit="%",
            beside={NAIVE: naive_cost.cpu_percent, BARE: floor_percent},
            target=load.cpu,
            note=f"{note}of one core; bare paho only receives the same heartbeats",
        ),
        row(
            "server memory a browser",
            "MB",
            lambda cost: cost.memory_mb,
            load.memory,
            "growth of resident memory for each browser after the first",
        ),
    ]
    if load.delay is not None:
        found += [
            row("heartbeat to text, p50", "ms", delay(50)),
            row("heartbeat to text, p95", "ms", delay(95), load.delay),
            row("heartbeats drawn", "%", lambda cost: cost.seen_percent),
        ]
    return found
