"""A rack of an earlier release is upgraded: the master first, the boards later."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machines import handbook
from tests.system.machines.rack import (
    NAMES,
    OLD,
    Rack,
    deploy,
    deployed_rack,
    project_bundle,
)

pytestmark = [pytest.mark.system, pytest.mark.machines, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def old_rack(folder: Path) -> Iterator[Rack]:
    """A rack of the old release whose four boards are online."""
    with deployed_rack(folder, OLD) as rack:
        yield rack


def test_the_master_is_upgraded_and_old_agents_go_on(
    old_rack: Rack, folder: Path
) -> None:
    old_rack.send("s02n2 tag gpu")
    old_rack.send("s01n1 name attic")
    bundle, _ = project_bundle(folder)
    old_rack.master.put(bundle, "pirack.bundle")  # where its clone came from
    [lines] = handbook.blocks(handbook.install_page(), "Upgrade")
    *upgrade, doctor = lines.strip().splitlines()
    assert doctor == "sudo pirack doctor"  # an emulated page starts in a minute
    handbook.paste(old_rack.master, "\n".join(upgrade))
    names = ("attic", *NAMES[1:])
    old_rack.wait_for("online", *names, timeout_s=400)
    states = old_rack.retained("node/+/state").values()
    assert [one["tags"] for one in states if one["name"] == "s02n2"] == [["gpu"]]
    assert "2 of 2 done" in old_rack.send("stack/1 ping")
    assert "FAIL" not in old_rack.pirack("doctor || true")
    assert old_rack.strip.log == [], "no outlet was touched"


def test_the_boards_are_upgraded_by_deploy(old_rack: Rack) -> None:
    said = deploy(old_rack)
    assert "4 installed" in said, said
    old_rack.wait_for("online", "attic", *NAMES[1:])
    said = old_rack.send("s02n1 reboot", timeout_s=400)
    assert "verified" in said, said
