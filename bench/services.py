"""Our own services as they run in production: a process each, from pirack.toml."""

import subprocess
from pathlib import Path

from bench.bus import Bus
from bench.invented import RACK, TOPICS
from bench.sandbox import BenchError, Sandbox
from broker.contract.messages import NodeState, Verdict, decode
from broker.contract.topics import NodeLeaf
from node_agent.simulator.settings import boards as places

START_S = 30.0
ONLINE_S = 120.0
HERE = "pi-5fffffff"
"""Id of the real agent on this machine, where a bench runs one."""
HERE_NAME = "this-machine"

PIRACK = "import sys; from pirack.cli import main; sys.exit(main())"
"""The ``pirack`` command, without asking where its script is installed."""


def config(sandbox: Sandbox, port: int, *tables: str) -> Path:
    """Writes a pirack.toml.

    Args:
        sandbox: Where to.
        port: Of the broker.
        tables: Further tables, as TOML.
    """
    head = f'[rack]\nname = "{RACK}"\n[broker]\nport = {port}\n'
    return sandbox.write("pirack.toml", head + "\n".join(tables))


def master_table(sandbox: Sandbox, probe: str = "none") -> str:
    """Returns a ``[master]`` table with its state in the sandbox."""
    return f'[master]\ndata_dir = "{sandbox.folder}/master"\nprobe = "{probe}"\n'


def rack_tables(stacks: int, boards: int, echo_port: int = 0) -> str:
    """Returns the tables of a regular rack of simulated boards, and of this machine."""
    simulator = (
        f"[simulator]\nstacks = {stacks}\nboards = {boards}\necho_port = {echo_port}\n"
    )
    rows = [
        f"[[stack]]\nnumber = {stack + 1}\nslots = {boards}" for stack in range(stacks)
    ]
    rows += [
        f'[[node]]\nid = "{one.id}"\nname = "{one.name}"\n'
        f"stack = {one.stack}\nslot = {one.slot}"
        for one in places(stacks, boards)
    ]
    return simulator + "\n".join(rows)


def agent_tables(sandbox: Sandbox, interval_s: float = 10.0) -> str:
    """Returns the tables of a real agent on this machine."""
    return (
        f'[agent]\nid = "{HERE}"\ninterval_s = {interval_s}\n'
        f'state_dir = "{sandbox.folder}/agent"\n'
        f'[[node]]\nid = "{HERE}"\nname = "{HERE_NAME}"\n'
    )


def start(sandbox: Sandbox, service: str, settings: Path) -> "subprocess.Popen[bytes]":
    """Starts one service (``master``, ``agent``, ``simulate``, ``dashboard``)."""
    return sandbox.python(
        service, "-c", PIRACK, service, "--config", settings, "--log-level", "warning"
    )


def start_master(
    sandbox: Sandbox, port: int, settings: Path
) -> "subprocess.Popen[bytes]":
    """Starts the master and waits until it says online."""
    with Bus(port, TOPICS.master_status) as bus:
        child = start(sandbox, "master", settings)
        try:
            bus.wait(lambda _, payload: payload == b"online", START_S, "the master")
        except BenchError:
            sandbox.require(child, "master")
            raise
    return child


def wait_online(bus: Bus, nodes: int, timeout_s: float = ONLINE_S) -> float:
    """Waits until the master calls so many nodes online; returns when, monotonic.

    Args:
        bus: Subscribed to ``P/node/+/state``.
        nodes: How many.
        timeout_s: For how long, seconds.
    """
    online: set[str] = set()

    def all_are(topic: str, payload: bytes) -> bool:
        if topic.endswith(NodeLeaf.STATE):
            state = decode(payload, NodeState)
            is_online = state.verdict is Verdict.ONLINE
            (online.add if is_online else online.discard)(topic)
        return len(online) >= nodes

    return bus.wait(all_are, timeout_s, f"{nodes} nodes online")[0]
