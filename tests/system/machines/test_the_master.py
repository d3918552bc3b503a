"""The master's machine: restarted, without its broker for a while, moved to another.

One story on one rack: each test goes on where the one before it ended.
"""

from pathlib import Path

import pytest

from tests.system.machines.handbook import paste, printed_commands, step
from tests.system.machines.rack import (
    ADDRESS,
    NAMES,
    Rack,
    installed_master,
    master_machine,
    power_off,
)

pytestmark = [pytest.mark.system, pytest.mark.machines, pytest.mark.timeout(1500)]


def test_a_rack_comes_back_after_a_mains_cut_of_everything(deployed: Rack) -> None:
    before = boot_ids(deployed)
    deployed.strip.mains_cut()
    deployed.master.cut()
    with step("mains cut: all online again"):
        deployed.strip.mains_back()
        deployed.master.start()
        deployed.master.wait_for_ssh()
        deployed.wait_for("online", *NAMES, timeout_s=400)
    assert not set(before.values()) & set(boot_ids(deployed).values())
    assert deployed.strip.log == [], "no outlet was switched"
    assert "FAIL" not in deployed.pirack("doctor || true")


def test_the_masters_machine_reboots_and_no_board_does(deployed: Rack) -> None:
    before = boot_ids(deployed)
    boot = deployed.master.boot_id()
    deployed.master.ssh("sudo systemd-run --on-active=1 systemctl reboot")
    with step("master: reboot"):
        deployed.master.wait_for_another_boot(boot)
        deployed.wait_for("online", *NAMES, timeout_s=400)
    assert boot_ids(deployed) == before
    assert deployed.strip.log == []


def test_mosquitto_is_removed_and_comes_back(deployed: Rack) -> None:
    before = boot_ids(deployed)
    with step("mosquitto: removed"):
        deployed.master.ssh("sudo apt-get remove --yes mosquitto", timeout_s=400)
    with step("mosquitto: back"):
        deployed.master.ssh("sudo apt-get install --yes mosquitto", timeout_s=400)
        deployed.wait_for("online", *NAMES, timeout_s=400)
    assert boot_ids(deployed) == before
    assert deployed.strip.log == []
    failed = deployed.master.ssh("systemctl --failed --no-legend --plain")
    assert failed == ""


def test_a_rack_moves_to_another_machine(deployed: Rack, folder: Path) -> None:
    deployed.send("s02n2 tag gpu")
    deployed.master.ssh("sudo pirack backup rack.pirack", timeout_s=180)
    deployed.master.ssh("sudo chown pi rack.pirack")
    copy = folder / "rack.pirack"
    copy.write_bytes(deployed.master.get("rack.pirack"))
    before, first = boot_ids(deployed), deployed.master
    power_off(first)

    second = master_machine(
        deployed.switch, folder, installed_master(folder), name="master2"
    )
    second.kernel_words = first.kernel_words
    deployed.master = second
    with step("second master: boot"):
        second.start()
        second.wait_for_ssh()
    second.put(copy, "rack.pirack")
    second.ssh("sudo apt-get install --yes dnsmasq-base", timeout_s=400)
    second.ssh(
        "sudo systemctl stop pirack-master pirack-dashboard pirack-agent mosquitto",
        timeout_s=180,
    )
    with step("restore"):
        said = second.ssh("sudo pirack restore rack.pirack --replace", timeout_s=400)
    (init,) = printed_commands(said)
    assert f"--name {ADDRESS}" in init, said
    commands = printed_commands(paste(second, init))
    paste(second, "\n".join(one for one in commands if "node add" not in one))
    with step("restored: all online"):
        deployed.wait_for("online", *NAMES, timeout_s=400)
    assert boot_ids(deployed) == before
    assert deployed.strip.log == [], "no outlet was touched"
    states = deployed.retained("node/+/state").values()
    assert [one["tags"] for one in states if one["name"] == "s02n2"] == [["gpu"]]
    second.cut()


def boot_ids(rack: Rack) -> dict[str, str]:
    """Returns the boot of each board, asked on the board itself."""
    return {one.name: one.boot_id() for one in rack.boards}
