"""What real sshd, sudo, pip and disks say when they refuse is told as what it is."""

import re
import shutil
from pathlib import Path

import pytest

from pirack import distribution
from provisioning.deploy.report import Trouble
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


FREEZE = "cd / && /opt/pirack/bin/python -m pip freeze"


def pins(units: Path) -> set[str]:
    """Return what the lock file of the nodes names, as pip does."""
    return set(re.findall(r"^[a-z-]+==[^ ]+", (units / "node.lock").read_text(), re.M))


@pytest.mark.parametrize("genuine", [True, False])
async def test_only_files_whose_hashes_the_lock_file_has_are_installed(
    blank: Pi,
    wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    genuine: bool,
) -> None:
    units = shutil.copytree(distribution.deploy_directory(), tmp_path / "shipped")
    if not genuine:
        lock = units / "node.lock"
        lock.write_text(re.sub("sha256:....", "sha256:0000", lock.read_text()))
    monkeypatch.setattr(distribution, "deploy_directory", lambda: units)
    report = await deploy(blank, tmp_path, wheel)
    if genuine:
        assert report.trouble is Trouble.SILENT  # installed; nothing listens here
        assert pins(units) <= set(blank.run(FREEZE).splitlines())
        assert blank.run("ls /opt/pirack/bin | grep pip || true") == "", (
            "slow: ensurepip"
        )
    else:
        assert report.trouble is Trouble.PACKAGES
        assert "0000" in report.text  # pip's words: Expected sha256 …, Got …
        assert blank.run(FREEZE) == ""
        assert blank.restarts() == 0


@pytest.mark.long
async def test_an_environment_that_was_made_with_pip_installed_in_it_is_upgraded(
    blank: Pi, wheel: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    """As before the installer unpacked pip itself: with byte code, and old packages."""
    shutil.copytree(wheelhouse, blank.files / "root/brought")
    shutil.copy(wheel, blank.files / "root/brought")
    blank.run("cd / && /usr/bin/python3 -m venv /opt/pirack")
    blank.run(
        "cd / && /opt/pirack/bin/pip install --quiet --no-index /root/brought/*.whl"
    )
    blank.run("echo another version >/opt/pirack/.installed")
    gone = blank.run("find /opt/pirack -path '*/node_agent/cli.py' -print -delete")
    report = await deploy(blank, tmp_path, wheel)
    assert report.trouble is Trouble.SILENT  # installed; nothing listens here
    assert (blank.files / gone.strip().lstrip("/")).exists()
    assert blank.run("find /opt/pirack -path '*/node_agent/*.pyc'") == "", "outdated"


@pytest.mark.long
async def test_a_board_whose_python_was_upgraded_gets_its_agent_again(
    blank: Pi, wheel: Path, tmp_path: Path
) -> None:
    """As from Debian 12 to 13: the packages are in the folder of another version."""
    await deploy(blank, tmp_path, wheel)
    blank.run("cd /opt/pirack/lib && mv python3.* python3.9")
    report = await deploy(blank, tmp_path, wheel)
    assert report.trouble is Trouble.SILENT  # installed; nothing listens here
    blank.run("cd / && /opt/pirack/bin/python -c 'import node_agent.cli'")
    assert blank.run("ls /opt/pirack/lib").split() != ["python3.9"]


def first_wheel(wheelhouse: Path) -> str:
    return min(one.name for one in wheelhouse.glob("*.whl"))


async def test_wheels_that_changed_on_the_way_are_not_installed(
    blank: Pi, wheel: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    brought = Path(shutil.copytree(wheelhouse, tmp_path / "brought"))
    (brought / "SHA256SUMS").write_text(f"{'0' * 64}  {first_wheel(wheelhouse)}\n")
    report = await deploy(blank, tmp_path, wheel, brought)
    assert report.trouble is Trouble.PACKAGES
    assert "the wheels of the bundle are damaged" in report.text
    assert blank.restarts() == 0


async def test_a_disk_that_fills_up_midway_is_told_as_that(
    blank: Pi, wheel: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    blank.run("rm -rf /tmp/*; mount -t tmpfs -o size=100k small /tmp")
    report = await deploy(blank, tmp_path, wheel, wheelhouse)
    assert report.trouble is Trouble.DISK_FULL
