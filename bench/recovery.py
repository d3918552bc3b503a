"""How soon a death is known, and how soon all is well again after the broker's.

Every part is a process of its own here and nobody starts it again, so that what is seen
is what the parts do by themselves. The broker keeps nothing on disk: after its death
every retained message must come from the parts again.
"""

import signal
import subprocess
import time
from pathlib import Path

import msgspec
from playwright.sync_api import Page

from bench import chromium, services
from bench.bus import Bus
from bench.figures import Figure, at_most
from bench.invented import TOPICS
from bench.sandbox import BenchError, Sandbox, free_port
from bench.servers import PASSWORD, dashboard_table, serves, sign_in
from broker.contract.messages import NodeState, Verdict, decode
from broker.contract.topics import NodeLeaf

CASE = "recovery"
STACKS = 12
BOARDS = 4
NODES = STACKS * BOARDS + 1
DEATHS = 5
INTERVAL_S = 10.0
BROKER_AWAY_S = 5.0
REST_S = 2.0
NOTICE_S = 60.0

_WATCH_TILE = """
id => {
  const tile = () => document.querySelector(`.slot[data-node="${id}"]`);
  window.benchChanged = null;
  new MutationObserver((_, observer) => {
    if (!tile() || ["ok", "warn", "crit"].includes(tile().dataset.state)) return;
    window.benchChanged = Date.now() / 1000;
    observer.disconnect();
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}
"""
_TILE_ONLINE = """
id => ["ok", "warn", "crit"].includes(
  document.querySelector(`.slot[data-node="${id}"]`)?.dataset.state)
"""


class Rack(msgspec.Struct, frozen=True):
    """Everything that runs.

    Args:
        sandbox: Where it runs.
        settings: The pirack.toml of all parts.
        port: Of the broker.
        broker: Its process.
        page: The Overview, in Chromium.
    """

    sandbox: Sandbox
    settings: Path
    port: int
    broker: "subprocess.Popen[bytes]"
    page: Page


class Death(msgspec.Struct, frozen=True):
    """Seconds from a kill until each of three knew."""

    will_s: float
    verdict_s: float
    tile_s: float


def measure() -> list[Figure]:
    """Kill, freeze, kill the broker; return how long each was unknown."""
    with Sandbox() as sandbox, chromium.browser() as browser:
        rack = _build(sandbox, browser.new_page(viewport=chromium.WINDOW))
        states = TOPICS.node("+", NodeLeaf.STATE)
        status = TOPICS.node(services.HERE, NodeLeaf.STATUS)
        with Bus(rack.port, states, status) as bus:
            deaths = [_death(rack, bus) for _ in range(DEATHS)]
            late_s = _freeze(rack, bus)
        back_s, lost = _lose_broker(rack)
    return _figures(deaths, late_s, back_s, lost)


def _build(sandbox: Sandbox, page: Page) -> Rack:
    port, http_port, echo_port = sandbox.mosquitto(), free_port(), free_port()
    settings = services.config(
        sandbox,
        port,
        services.master_table(sandbox, f"echo:{echo_port}"),
        services.rack_tables(STACKS, BOARDS, echo_port),
        services.agent_tables(sandbox, INTERVAL_S),
        dashboard_table(sandbox, http_port),
    )
    services.start_master(sandbox, port, settings)
    services.start(sandbox, "simulate", settings)
    with Bus(port, TOPICS.node("+", NodeLeaf.STATE)) as bus:
        services.wait_online(bus, STACKS * BOARDS)
    dashboard = services.start(sandbox, "dashboard", settings)
    url = f"http://127.0.0.1:{http_port}/"
    sandbox.wait(dashboard, "dashboard", lambda: serves(url), services.START_S)
    sign_in(page, url, "admin", PASSWORD)
    broker = sandbox.children["mosquitto"]
    return Rack(sandbox, settings, port, broker, page)


def _start_agent(rack: Rack, bus: Bus) -> "subprocess.Popen[bytes]":
    bus.forget()
    child = services.start(rack.sandbox, "agent", rack.settings)
    bus.wait(_is_online, services.ONLINE_S, "the agent online")
    rack.page.wait_for_function(_TILE_ONLINE, arg=services.HERE)
    time.sleep(REST_S)
    return child


def _death(rack: Rack, bus: Bus) -> Death:
    agent = _start_agent(rack, bus)
    rack.page.evaluate(_WATCH_TILE, services.HERE)
    bus.forget()
    killed_unix, killed = time.time(), time.monotonic()
    agent.kill()
    will, _, _ = bus.wait(_says_offline, NOTICE_S, "the will")
    verdict, _, _ = bus.wait(_is_no_longer_online, NOTICE_S, "the verdict")
    changed = rack.page.wait_for_function("window.benchChanged").json_value()
    return Death(will - killed, verdict - killed, changed - killed_unix)


def _freeze(rack: Rack, bus: Bus) -> float:
    """Stops the agent in its tracks; its connection stays, only the beats end."""
    agent = _start_agent(rack, bus)
    bus.forget()
    frozen = time.monotonic()
    agent.send_signal(signal.SIGSTOP)
    try:
        late, _, payload = bus.wait(_is_no_longer_online, NOTICE_S, "the verdict late")
    finally:
        agent.send_signal(signal.SIGCONT)
    verdict = decode(payload, NodeState).verdict
    if verdict is not Verdict.LATE:
        text = f"a frozen agent was called {verdict}, not late"
        raise BenchError(text)
    return late - frozen


def _lose_broker(rack: Rack) -> tuple[float, int]:
    """Returns after how long all were online again, and how many were called lost.

    Online is what a node says and the master says: either alone could be a memory.
    """
    rack.broker.kill()
    rack.broker.wait()
    time.sleep(BROKER_AWAY_S)
    back = time.monotonic()
    rack.sandbox.start_mosquitto(rack.port)
    states, statuses = (
        TOPICS.node("+", leaf) for leaf in (NodeLeaf.STATE, NodeLeaf.STATUS)
    )
    with Bus(rack.port, states, statuses) as bus:
        judged = services.wait_online(bus, NODES)
        said = _wait_said_online(bus)
        verdicts = [
            decode(payload, NodeState).verdict
            for _, topic, payload in bus.heard()
            if topic.endswith(NodeLeaf.STATE)
        ]
    lost = sum(verdict in {Verdict.LOST, Verdict.HUNG} for verdict in verdicts)
    return max(judged, said) - back, lost


def _wait_said_online(bus: Bus) -> float:
    said: set[str] = set()

    def all_have(topic: str, payload: bytes) -> bool:
        if topic.endswith(NodeLeaf.STATUS) and payload == b"online":
            said.add(topic)
        return len(said) >= NODES

    return bus.wait(all_have, services.ONLINE_S, f"{NODES} nodes that say online")[0]


def _says_offline(topic: str, payload: bytes) -> bool:
    return topic.endswith(NodeLeaf.STATUS) and payload == b"offline"


def _is_online(topic: str, payload: bytes) -> bool:
    return _verdict(topic, payload) is Verdict.ONLINE


def _is_no_longer_online(topic: str, payload: bytes) -> bool:
    return _verdict(topic, payload) not in {Verdict.ONLINE, None}


def _verdict(topic: str, payload: bytes) -> Verdict | None:
    """Returns the verdict on our agent; None where the message is about another."""
    if topic != TOPICS.node(services.HERE, NodeLeaf.STATE):
        return None
    return decode(payload, NodeState).verdict


def _figures(
    deaths: list[Death], late_s: float, back_s: float, lost: int
) -> list[Figure]:
    def row(what: str, value: float, bound: float, note: str = "") -> Figure:
        return Figure(
            case=CASE, what=what, ours=value, unit="s", target=at_most(bound), note=note
        )

    note = f"slowest of {DEATHS}"
    return [
        row("kill -9 an agent: will", max(d.will_s for d in deaths), 1.0, note),
        row("kill -9 an agent: verdict", max(d.verdict_s for d in deaths), 1.2, note),
        row("kill -9 an agent: tile", max(d.tile_s for d in deaths), 1.5, note),
        row("agent frozen: late", late_s, 2 * INTERVAL_S + 1, f"at {INTERVAL_S:g} s"),
        row(
            f"broker back after {BROKER_AWAY_S:g} s: {NODES} online",
            back_s,
            10.0,
            "from the start of the new Mosquitto, which remembers nothing",
        ),
        Figure(
            case=CASE,
            what="nodes called lost or hung by that",
            ours=lost,
            unit="",
            target=at_most(0),
        ),
    ]
