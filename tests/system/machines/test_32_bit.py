"""A board of 32 bits in earnest: its wheels are built there, and its agent speaks.

The rack is ``pirack up`` in the network of the boards; they reach package indexes by
another cable.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pirack import rack_config
from tests.system.machines import armhf, debian
from tests.system.machines.armhf import ArmMachine
from tests.system.machines.machine import RASPBERRY_PI, Model, Switch
from tests.system.up.process import Up, environment

pytestmark = [
    pytest.mark.system,
    pytest.mark.machines,
    pytest.mark.mosquitto,
    pytest.mark.timeout(3600),
]

MASTER = "192.168.23.1"
MODEL = Model(memory_mb=1024, code_mb=256, uplink=True)
BOOT_S = 400.0
BUILD_S = 2400.0
LAYER = "/opt/.pirack-wheels/upper"


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    reason = armhf.missing()
    if reason and os.environ.get("CI") != "true":  # in CI nothing may skip
        pytest.skip(reason)
    with Switch(32) as made:
        address = ("addr", "add", f"{MASTER}/24", "dev", "br0")
        subprocess.run(["ip", "-n", made.namespace, *address], check=True)
        yield made


@pytest.fixture(scope="module")
def boards(
    switch: Switch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ArmMachine]]:
    """Two boards with the same card, without power."""
    boot, folder = armhf.boot(), tmp_path_factory.mktemp("armhf")
    made = [
        ArmMachine(
            name=f"arm{number}",
            mac=f"{RASPBERRY_PI}:0{number}",
            disk=boot.disk,
            kernel=boot.kernel,
            switch=switch,
            folder=folder,
            model=MODEL,
        )
        for number in (1, 2)
    ]
    yield made
    for board in made:
        board.cut()


@pytest.fixture(scope="module")
def rack(switch: Switch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    up = Up(
        tmp_path_factory.mktemp("rack") / "data",
        *("--simulate", "0", "--listen", f"{MASTER}:8883"),
        inside=tuple(switch.inside()),
    )
    try:
        yield up.ready().data
    finally:
        up.stop()


def deploying(
    switch: Switch, rack: Path, board: int, *words: str
) -> "subprocess.Popen[str]":
    """Start ``pirack deploy`` for a board, as a person does on the master's machine."""
    own = ("-m", "pirack.cli", "deploy", f"192.168.23.1{board}", "--data", str(rack))
    how = ("--key", str(debian.key()), "--deadline", "600", "--plain")
    return subprocess.Popen(
        switch.inside(sys.executable, *own, *how, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )


def deploy(switch: Switch, rack: Path, board: int, *words: str) -> str:
    """Do it, and return what it said."""
    with deploying(switch, rack, board, *words) as process:
        said, _ = process.communicate(timeout=BUILD_S)
    assert process.returncode == 0, said
    return said


def test_a_32_bit_board_builds_its_wheels_and_the_next_one_gets_them(
    switch: Switch, boards: list[ArmMachine], rack: Path
) -> None:
    """What the first one was making when it lost power comes from ``armhf.wheels``."""
    one, two = boards
    one.start()
    one.wait_for_ssh(timeout_s=BOOT_S)
    assert one.ssh("uname -m").strip() == "armv7l"
    packages = one.ssh("dpkg -l")

    # It is said before it begins.
    said = deploy(switch, rack, 1, "--dry-run")
    assert "for which PyPI has no wheels: it builds them, in minutes" in said
    assert "come by apt into a layer over its system" in said
    assert "1 board: 1 ready" in said
    assert one.ssh("ls -A /opt") == ""

    lose_power_while_building(switch, one, rack)
    shutil.copytree(armhf.wheels(), secrets(rack) / "board-wheels")
    # Once more is all that a person does.
    one.start()
    one.wait_for_ssh(timeout_s=BOOT_S)
    assert one.ssh("ls -A /opt").split() == [".pirack-wheels"]
    said = deploy(switch, rack, 1)
    assert "1 board: 1 installed" in said  # its agent spoke
    assert one.ssh("ls -A /opt").split() == [".pirack.toml", "pirack"]
    assert one.ssh("dpkg -l") == packages
    assert one.ssh("systemctl is-active pirack-agent").strip() == "active"
    small = "import struct, msgspec, psutil; print(8 * struct.calcsize('P'))"
    assert one.ssh(f'/opt/pirack/bin/python -c "{small}"').strip() == "32"

    # The next board of its kind needs neither gcc nor an index.
    two.start()
    two.wait_for_ssh(timeout_s=BOOT_S)
    two.ssh("sudo ip link set eth0 down")
    said = deploy(switch, rack, 2)
    assert "it gets those that are kept here" in said
    assert "1 board: 1 installed" in said
    assert "1 board: 1 had it already" in deploy(switch, rack, 2)


def secrets(rack: Path) -> Path:
    return rack_config.read_access(rack / rack_config.UP_FILE).secrets


def lose_power_while_building(switch: Switch, board: ArmMachine, rack: Path) -> None:
    """Cut a board while apt or gcc works in its layer."""
    with deploying(switch, rack, 1) as process:
        end = time.monotonic() + BOOT_S
        while "wheels" not in board.ssh(f"sudo ls {LAYER} 2>/dev/null || true"):
            assert time.monotonic() < end
            time.sleep(1)
        board.cut()
        said, _ = process.communicate(timeout=BOOT_S)
    assert process.returncode == 1
    assert "again: connection-lost" in said
    assert not (secrets(rack) / "board-wheels").exists()
