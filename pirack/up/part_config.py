"""The configuration of each part, made from the person's own; pure.

A part reads one file, as it would on a machine of its own: the person's tables, with
what ``pirack up`` decides (names, ports, paths) put over them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from broker.contract.verbs import Verb
from node_agent.simulator.settings import BoardPlace, boards
from pirack.up.data_directory import DataDirectory
from pirack.up.settings import Options, Shape

Tables = dict[str, Any]

MASTER = "master"
DASHBOARD = "dashboard"
AGENT = "agent"
SIMULATOR = "simulator"

HOST_POWER = (Verb.REBOOT, Verb.SHUTDOWN, Verb.UPDATE)
WITHHELD = (
    "this is the machine that runs the simulated rack; `pirack up --allow-host-power`, "
    "or allow_host_power = true in [up], allows it"
)

SIMULATED_INSTALL: Tables = {
    "backend": "fake",
    "interface": "simulated",
    "address": "10.0.0.1/8",
    "first": "10.0.1.1",
    "pool_first": "10.0.0.100",
    "pool_last": "10.0.0.250",
    "quiet_s": 1.0,
    "window_s": 20.0,
    "settle_s": 0.5,
    "baseline_s": 1.0,
    "probe_s": 0.2,
    "verify_s": 60.0,
}
"""An install run over boards that boot in 3 s; room for the largest rack."""

NOT_FOR_PARTS = frozenset({"up"})


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What ``pirack up`` decides for its parts.

    Args:
        mqtt_host: Where the parts reach the broker.
        mqtt_port: Free on this machine, as ``http_port`` is.
        echo_port: UDP port on which simulated boards answer pings; 0 for none.
        node_name: What this machine is called in the rack.
        paste: How a line to paste begins.
    """

    options: Options
    mqtt_host: str
    mqtt_port: int
    http_port: int
    echo_port: int
    node: str
    node_name: str
    paste: str

    @property
    def shape(self) -> Shape:
        """What is simulated."""
        return self.options.shape

    @property
    def paths(self) -> DataDirectory:
        """Where everything is kept."""
        return self.options.paths


def places(shape: Shape) -> tuple[BoardPlace, ...]:
    """Returns the simulated boards."""
    return boards(shape.stacks, shape.boards) if shape.stacks else ()


def documents(decided: Decided) -> dict[str, Tables]:
    """Returns each part's configuration by the part's name."""
    own = decided.options.tables
    shared = {name: own[name] for name in own if name not in NOT_FOR_PARTS}
    parts = {
        MASTER: _master(shared, decided),
        DASHBOARD: _dashboard(shared, decided),
        AGENT: _agent(shared, decided),
    }
    if decided.shape.stacks:
        parts[SIMULATOR] = _simulator(shared, decided)
    return parts


def _base(own: Tables, decided: Decided, user: str) -> Tables:
    rack: Tables = {"name": decided.options.rack}
    if decided.shape.stacks:
        rack |= {"stacks": decided.shape.stacks, "boards": decided.shape.boards}
    broker = {
        "host": decided.mqtt_host,
        "port": decided.mqtt_port,
        "credentials": str(decided.paths.credentials(user)),
    }
    return _over(own, {"rack": rack, "broker": broker})


def _master(own: Tables, decided: Decided) -> Tables:
    master: Tables = {"data_dir": str(decided.paths.master), "node": decided.node}
    tables = _base(own, decided, MASTER)
    if decided.shape.stacks:
        echo = decided.echo_port
        master["probe"] = f"echo:{echo}" if echo else "none"
        tables = _under(tables, {"power": {"driver": "fake"}})
        # Not under the person's: his DHCP server must not serve for invented boards.
        tables["install"] = SIMULATED_INSTALL
    tables = _under(tables, {"install": {"data_dir": str(decided.paths.install)}})
    tables["node"] = _nodes(own.get("node", []), decided)
    return _over(tables, {"master": master})


def _nodes(own: list[Tables], decided: Decided) -> list[Tables]:
    """Returns the person's rows, then those the simulation and this machine add."""
    ids = {row.get("id") for row in own}
    names = {row.get("name") for row in own}
    simulated = [
        {"id": one.id, "name": one.name, "stack": one.stack, "slot": one.slot}
        for one in places(decided.shape)
        if one.id not in ids
    ]
    here = [{"id": decided.node, "name": decided.node_name}]
    taken = ids | names | {row["name"] for row in simulated}
    if decided.node in ids:
        here = []
    elif decided.node_name in taken:
        here[0]["name"] = decided.node
    return [*own, *simulated, *here]


def _dashboard(own: Tables, decided: Decided) -> Tables:
    page = {
        "host": decided.options.http_host,
        "http_port": decided.http_port,
        "data": str(decided.paths.dashboard),
        "mosquitto_pub": decided.paste,
    }
    return _over(_base(own, decided, DASHBOARD), {"dashboard": page})


def _agent(own: Tables, decided: Decided) -> Tables:
    """Returns the agent's; a demonstration must not take its own machine down."""
    agent: Tables = {"id": decided.node, "state_dir": str(decided.paths.agent)}
    if decided.shape.stacks and not decided.options.allow_host_power:
        withheld = {verb.value: WITHHELD for verb in HOST_POWER}
        agent["withheld"] = own.get("agent", {}).get("withheld", {}) | withheld
    return _over(_base(own, decided, decided.node), {"agent": agent})


def _simulator(own: Tables, decided: Decided) -> Tables:
    simulator = {
        "stacks": decided.shape.stacks,
        "boards": decided.shape.boards,
        "echo_port": decided.echo_port,
        "credentials": str(decided.paths.simulated),
    }
    return _over(_base(own, decided, SIMULATOR), {"simulator": simulator})


def _over(tables: Mapping[str, Any], more: Mapping[str, Tables]) -> Tables:
    """Returns tables with single keys put over those that are there."""
    return {**tables, **{name: tables.get(name, {}) | more[name] for name in more}}


def _under(tables: Mapping[str, Any], more: Mapping[str, Tables]) -> Tables:
    """Returns tables with keys added where the person said nothing."""
    return {**tables, **{name: more[name] | tables.get(name, {}) for name in more}}
