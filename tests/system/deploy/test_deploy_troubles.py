"""What real sshd, sudo, pip and disks say when they refuse is told as what it is."""

from pathlib import Path

import pytest

from provisioning.deploy.trouble import Trouble
from tests.system.deploy.alone import deploy
from tests.system.deploy.pi import Pi

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


async def test_before_anything_is_made_the_board_is_asked_what_it_lacks(
    blank: Pi, tmp_path: Path
) -> None:
    wrong = await deploy(blank, tmp_path, key=tmp_path / "another")
    assert wrong.trouble is Trouble.PERMISSION
    assert wrong.text == "it does not let 'pi' in with our key; copy the key"

    nobody = await deploy(blank, tmp_path, port=9)
    assert nobody.trouble is Trouble.UNREACHABLE
    assert nobody.text == f"no SSH at {blank.address} port 9: Connection refused"

    blank.run("mount -t tmpfs -o size=8m small /opt")
    full = await deploy(blank, tmp_path)
    assert full.trouble is Trouble.DISK_FULL
    assert "8 MB are free" in full.text

    blank.run("mv /usr/lib/python3*/ensurepip /root/")
    assert (await deploy(blank, tmp_path)).trouble is Trouble.VENV

    blank.run("rm /etc/sudoers.d/pi")
    sudo = await deploy(blank, tmp_path)
    assert sudo.trouble is Trouble.SUDO
    assert "a password is required" in sudo.text
    assert not (tmp_path / "bundles").exists()


async def test_a_package_index_that_cannot_be_reached_is_pips_trouble(
    blank: Pi, wheel: Path, tmp_path: Path
) -> None:
    nowhere = "[global]\\nindex-url = http://127.0.0.1:9/\\nretries = 0\\n"
    blank.run(f"rm -rf /root/.config/pip; printf '{nowhere}' >/etc/pip.conf")
    report = await deploy(blank, tmp_path, wheel)
    assert report.trouble is Trouble.PACKAGES
    assert "pirack deploy --wheelhouse" in report.text
    assert blank.restarts() == 0
    assert blank.run("ls /tmp") == ""


async def test_a_disk_that_fills_up_midway_is_told_as_that(
    blank: Pi, wheel: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    blank.run("rm -rf /tmp/*; mount -t tmpfs -o size=100k small /tmp")
    report = await deploy(blank, tmp_path, wheel, wheelhouse)
    assert report.trouble is Trouble.DISK_FULL
