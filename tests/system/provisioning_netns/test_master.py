"""The whole over MQTT: real master, Mosquitto, dnsmasq and boards in namespaces."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.client.link import Subscription
from broker.contract.messages import ScanPhase
from broker.mosquitto.program import find
from tests.system.provisioning_netns.lab import MASTER, SUBNET, Lab
from tests.system.provisioning_netns.outlets import serve_outlets
from tests.system.provisioning_netns.rack import Rack
from tests.system.rack_processes import TOPICS, CommandClient, InstallObserver

if TYPE_CHECKING:
    import subprocess

pytestmark = [
    pytest.mark.system,
    pytest.mark.mosquitto,
    pytest.mark.long,
    pytest.mark.timeout(120),
]

PORT = 1883
"""In a namespace of our own, where nobody else is."""
SWITCH = """
import socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect(sys.argv[1])
    to.sendall(" ".join(sys.argv[2:]).encode() + b"\\n")
    print(to.recv(64).decode())
"""
CONF = """
[rack]
name = "{rack}"
stacks = 2
boards = 2
[broker]
port = {port}
[master]
data_dir = "{folder}/data"
probe = "none"
[power]
min_off_s = 0
stagger_s = 0
[install]
backend = "dnsmasq"
interface = "{subnet.interface}"
address = "{subnet.address}"
first = "{subnet.first}"
pool_first = "{subnet.pool_first}"
pool_last = "{subnet.pool_last}"
data_dir = "{folder}/install"
quiet_s = 0.2
window_s = 5
settle_s = 0.05
baseline_s = 0.4
probe_s = 0.3
stagger_s = 0.01
verify_s = 20
"""
OUTLET = """
[[outlet]]
name = "relay-{stack}"
driver = "command"
stack = {stack}
[outlet.commands]
on = ["{python}", "-S", "{script}", "{path}", "{stack}", "on"]
off = ["{python}", "-S", "{script}", "{path}", "{stack}", "off"]
status = ["{python}", "-S", "{script}", "{path}", "{stack}", "read"]
"""


class MasterInLab:
    """Mosquitto and a master in the master's namespace of a lab."""

    master: subprocess.Popen[bytes]

    def __init__(self, lab: Lab, outlets: str) -> None:
        self._lab = lab
        self.folder = lab.folder / "parts"
        self.folder.mkdir()
        script = self.folder / "switch.py"
        script.write_text(SWITCH)
        self._conf = self.folder / "pirack.toml"
        rows = "".join(
            OUTLET.format(stack=n, python=sys.executable, script=script, path=outlets)
            for n in (1, 2)
        )
        text = CONF.format(
            rack=TOPICS.rack, port=PORT, folder=self.folder, subnet=SUBNET
        )
        self._conf.write_text(text + rows)

    def start_broker(self) -> None:
        conf = self.folder / "mosquitto.conf"
        conf.write_text(f"listener {PORT} 127.0.0.1\nallow_anonymous true\n")
        self._lab.start(MASTER, str(find().program), "-c", str(conf))

    def start_master(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pirack.cli", "master"]
        return self._lab.start(MASTER, *command, "--config", str(self._conf))


async def story(parts: MasterInLab) -> InstallObserver:
    """Install the rack over MQTT; the master is killed on the way."""
    observed = InstallObserver()
    more = [TOPICS.install_state, TOPICS.install_stack("+")]
    client = CommandClient(PORT, observed, [Subscription(one, qos=1) for one in more])
    await client.link.start()
    assert await client.link.wait_connected(10.0)
    try:
        await client.until(lambda: observed.install.backend == "dnsmasq", 20.0)
        (begun,) = await client.ask("rack install", "start")
        assert "waits for `install confirm`" in begun.targets[0].stdout
        await client.until(lambda: observed.install.step == "confirm", 20.0)
        await client.ask("rack install", "confirm")
        await client.until(lambda: phase(observed, 1) is ScanPhase.PLACED, 30.0)
        parts.master.send_signal(signal.SIGKILL)
        parts.master.wait(5)
        parts.master = parts.start_master()
        await client.until(lambda: observed.install.step.startswith("done"), 60.0)
    finally:
        await client.link.stop()
    return observed


def phase(observed: InstallObserver, stack: int) -> ScanPhase | None:
    seen = observed.scanned.get(stack)
    return seen.phase if seen else None


def test_a_rack_is_installed_over_mqtt_though_its_master_is_killed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    rack = Rack(lab, 2, 2, lambda: 0.3)
    with serve_outlets(lab) as outlets:
        parts = MasterInLab(lab, outlets)
        parts.start_broker()
        parts.master = parts.start_master()
        observed = lab.run(lambda: story(parts))
        parts.master.terminate()
        parts.master.wait(10)
    assert observed.install.step == "done", observed.install.problems
    assert observed.install.done == 4
    assert {phase(observed, n) for n in (1, 2)} == {ScanPhase.VERIFIED}
    found = {
        board.mac: (board.address, board.name)
        for stack in observed.scanned.values()
        for board in stack.boards
    }
    assert found == {pi.mac: (pi.address, pi.hostname) for pi in rack.pis.values()}
