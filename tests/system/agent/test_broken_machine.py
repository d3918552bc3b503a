"""The real agent on machines that are not what tests imagine, in mount namespaces.

Each is a namespace of its own, so nothing of this machine changes.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.contract.messages import Heartbeat, Phase, Result, decode
from broker.contract.topics import NodeLeaf
from tests.mosquitto import OpenMosquitto
from tests.system.agent.process import ID, INTERVAL_S, ROOT, Observer

pytestmark = [
    pytest.mark.system,
    pytest.mark.mosquitto,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces"),
]

AGENT = shlex.join([sys.executable, "-m", "node_agent.cli"])


def in_a_namespace(
    directory: Path, prepare: str, *options: str, network: bool = False
) -> list[str]:
    """Return the command of an agent in a mount namespace, prepared by a shell."""
    run = f"exec {AGENT} {shlex.join(options)}"
    line = "\n".join(["set -e", "mount --make-rprivate /", prepare, run])
    kinds = ["--mount", "--net"] if network else ["--mount"]
    return ["unshare", *kinds, "sh", "-c", line, "sh", str(directory)]


def once(
    directory: Path, prepare: str, *options: str, network: bool = False
) -> dict[str, Any]:
    """Return what the agent would report there."""
    done = subprocess.run(
        in_a_namespace(directory, prepare, "--once", *options, network=network),
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


FULL_DISK = """
mount -t tmpfs -o size=8k none $1/s
mkdir $1/s/state
dd if=/dev/zero of=$1/s/full bs=1k count=100 2>/dev/null || true
"""

Start = Callable[..., None]


@pytest.fixture
def start(tmp_path: Path, broker: OpenMosquitto) -> Iterator[Start]:
    """Starts an agent in a namespace, and ends it after the test."""
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "RUNTIME_DIRECTORY": str(tmp_path / "run"),
    }

    def begin(prepare: str, *options: str) -> None:
        common = ("--id", ID, "--port", str(broker.port), "--interval", str(INTERVAL_S))
        command = in_a_namespace(tmp_path, prepare, *common, *options)
        process = subprocess.Popen(command, env=environment, cwd=tmp_path)
        started.append(process)

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_the_confined_view_of_a_service_is_not_a_failed_card(tmp_path: Path) -> None:
    told = once(tmp_path, "mount -o remount,bind,ro / 2>/dev/null || exit 77")
    assert told["heartbeat"]["disk_read_only"] is False


MOVE_IN = """
cd new
for d in /*; do
    [ -d $d ] && [ ! -L $d ] && [ $d != /proc ] && [ $d != /lost+found ] || continue
    mkdir -p .$d && mount --rbind $d .$d
done
for d in /*; do if [ -L $d ]; then cp -P $d .; fi; done
mkdir -p proc old
"""
MOVED_IN = "pivot_root . old && mount -t proc proc /proc && cd /"


def test_a_root_that_takes_no_writes_is_said(tmp_path: Path) -> None:
    told = once(
        tmp_path,
        f"mkdir new; mount -t tmpfs none new; {MOVE_IN} mount -o remount,ro .; "
        + MOVED_IN,
    )
    assert told["heartbeat"]["disk_read_only"] is True
    assert "disk_errors" not in told["details"]


@pytest.mark.skipif(
    not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4") is None,
    reason="needs loop devices and mkfs.ext4",
)
def test_an_ext4_that_met_an_error_is_said(tmp_path: Path) -> None:
    """Its mount says ``ro``, ``emergency_ro`` or nothing, by the age of the kernel."""
    card = tmp_path / "card.img"
    with card.open("wb") as file:
        file.truncate(24 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(card)], check=True)
    told = once(
        tmp_path,
        f"mkdir new; mount -o loop,errors=remount-ro card.img new; {MOVE_IN} "
        "device=$(stat -c %D .); minor=$((0x$device & 0xff)); "
        f"echo 1 > /sys/fs/ext4/loop$minor/trigger_fs_error; sleep 0.5; {MOVED_IN}",
    )
    assert told["details"]["disk_errors"] >= 1
    if _kernel() >= (6, 15):
        assert told["heartbeat"]["disk_read_only"] is True


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor)


def test_a_counter_of_lxcfs_costs_that_counter_only(tmp_path: Path) -> None:
    (tmp_path / "diskstats").write_text("8 0 sda 0 0 0 0 46 0 977 34 0 2 0 0 0 0\n")
    (tmp_path / "loadavg").write_text("0.10\n")
    told = once(
        tmp_path,
        "mount --bind diskstats /proc/diskstats; mount --bind loadavg /proc/loadavg",
    )
    beat = told["heartbeat"]
    assert (beat["disk_written_bytes"], beat["load"]) == (None, None)
    assert told["details"]["unreadable"].keys() == {"disk_written_bytes", "load"}
    assert beat["memory_percent"] > 0
    assert beat["uptime_s"] > 0


def test_the_address_toward_the_broker_comes_first(tmp_path: Path) -> None:
    told = once(
        tmp_path,
        "ip link set lo up; for n in eth0 wlan0; do"
        " ip link add $n type veth peer name x$n; ip link set x$n up; done;"
        " ip link add br-3fe1a2b4c5d6 type bridge;"
        " for n in eth0 wlan0 br-3fe1a2b4c5d6; do ip link set $n up; done;"
        " ip addr add 192.168.99.1/24 dev eth0; ip addr add 192.0.2.21/24 dev wlan0;"
        " ip addr add 172.18.0.1/16 dev br-3fe1a2b4c5d6; mount -t sysfs sysfs /sys",
        *("--host", "192.0.2.1"),
        network=True,
    )
    assert told["details"]["addresses"][0] == "192.0.2.21"
    assert told["details"]["addresses"][-1] == "172.18.0.1"


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        ("mount -t tmpfs none $1/s; mount -o remount,ro $1/s", "Read-only file system"),
        (FULL_DISK, "No space left on device"),
    ],
    ids=["read-only", "full"],
)
async def test_reboot_works_on_a_board_that_cannot_write(
    tmp_path: Path, start: Start, observer: Observer, prepare: str, why: str
) -> None:
    (tmp_path / "s").mkdir()
    commands, rebooted = tmp_path / "commands.ini", tmp_path / "rebooted"
    commands.write_text(f"[system]\nreboot = touch {rebooted}\n")
    state = ("--state-dir", str(tmp_path / "s/state"))
    start(prepare, "--commands", str(commands), *state)
    await observer.until_beating()
    observer.order("reboot", by="anna")
    await observer.until(lambda: Phase.DONE in observer.results())
    said = decode(observer.said(NodeLeaf.RESULT)[-1], Result)
    assert why in said.stdout
    assert rebooted.exists()
    assert json.loads((tmp_path / "run/orders.json").read_bytes())["destructive"] == [
        "o1"
    ]


async def test_an_agent_without_a_single_counter_still_beats(
    tmp_path: Path, start: Start, observer: Observer
) -> None:
    (tmp_path / "empty").write_text("")
    files = "stat loadavg meminfo diskstats uptime net/dev self/mountinfo mounts"
    start(f"for f in {files}; do mount --bind empty /proc/$f || true; done")
    await observer.until_beating()
    await observer.until_beating()
    assert observer.said(NodeLeaf.STATUS) == [b"online"]
    beat = decode(observer.said(NodeLeaf.HEARTBEAT)[-1], Heartbeat)
    assert beat.uptime_s > 0
    assert (beat.cpu_percent, beat.load, beat.memory_percent) == (None, None, None)


async def test_a_torn_command_file_leaves_the_built_in_commands(
    tmp_path: Path, start: Start, observer: Observer
) -> None:
    commands = tmp_path / "commands.ini"
    commands.write_bytes(b"\0" * 4096)
    start(":", "--commands", str(commands), "--state-dir", str(tmp_path / "state"))
    await observer.until(lambda: bool(observer.details))
    details = observer.details[-1]
    assert "uptime" in {one.verb for one in details.abilities} | set(details.unprobed)
    assert "contains NUL bytes" in details.unreadable["commands"]
