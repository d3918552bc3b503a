"""A rack from nothing: found, addressed, deployed, commanded.

One story on one rack: each test goes on where the one before it ended.
"""

import time

import pytest

from tests.system.machines.handbook import step
from tests.system.machines.rack import NAMES, Rack, deploy, find_boards

pytestmark = [pytest.mark.system, pytest.mark.machines, pytest.mark.timeout(1500)]

MOST_S = 360
"""For finding four boards and deploying them, on two cores."""

began: dict[str, float] = {}


def test_boards_are_found_and_addressed_from_nothing(rack: Rack) -> None:
    began["install"] = time.monotonic()
    said = find_boards(rack)
    assert "4 of 4" in said
    assert "declined" not in said
    assert not rack.strip.cut_while_running()


def test_agents_are_deployed(rack: Rack) -> None:
    said = deploy(rack)
    assert "4 installed" in said, said
    rack.wait_for("online", *NAMES)
    print(f"found, deployed, online after {time.monotonic() - began['install']:.0f} s")  # noqa: T201  # the figure of this story


def test_a_stack_answers_a_ping(rack: Rack) -> None:
    with step("ping"):
        said = rack.send("stack/1 ping")
    assert "2 of 2 done" in said, said


def test_a_reboot_is_proven(rack: Rack) -> None:
    with step("reboot"):
        said = rack.send("s02n1 reboot", timeout_s=400)
    assert "done" in said, said
    assert "verified" in said, said


def test_a_shutdown_is_proven(rack: Rack) -> None:
    with step("shutdown"):
        said = rack.send("s01n2 shutdown", timeout_s=400)
    assert "verified" in said, said
    assert rack.boards[1].is_down


def test_a_power_cycle_leaves_clean_disks(rack: Rack) -> None:
    with step("power cycle"):
        said = rack.send("stack/1 power cycle --confirm stack/1", timeout_s=400)
    assert "2 of 2 done, verified" in said, said
    rack.wait_for("online", *NAMES)
    assert not rack.strip.cut_while_running()
    assert rack.disk_recoveries() == dict.fromkeys(rack.disk_recoveries(), 0)


def test_no_unit_of_any_machine_failed(rack: Rack) -> None:
    for machine in (rack.master, *rack.boards):
        failed = machine.ssh("systemctl --failed --no-legend --plain")
        assert failed == "", f"{machine.name}: {failed}"
    assert "FAIL" not in rack.pirack("doctor || true")
