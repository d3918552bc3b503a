"""Mosquitto unpacked beside the project: no root, and nothing half done is taken."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parents[2] / "scripts" / "get-mosquitto"
PACKAGE = """\
Package: mosquitto
Version: 9
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: stands in for Mosquitto
"""
PROGRAM = '#!/bin/sh\necho "mosquitto version 9, libraries $LD_LIBRARY_PATH"\n'


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def package(folder: Path, program: str = PROGRAM) -> Path:
    """Build a Debian package with what the script looks at."""
    write(folder / "DEBIAN/control", PACKAGE)
    for name in ("usr/sbin/mosquitto", "usr/bin/mosquitto_pub"):
        write(folder / name, program)
    (folder / "usr/lib/some-triplet").mkdir(parents=True)
    (folder / "usr/lib/some-triplet/libmosquitto.so.1").touch()
    subprocess.run(["dpkg-deb", "--build", folder], check=True, capture_output=True)
    return folder.with_suffix(".deb")


def unpack(project: Path, apt_get: str) -> "subprocess.CompletedProcess[str]":
    """Run a copy of the script in a project of its own, with an apt of our making."""
    (project / "scripts").mkdir(parents=True)
    script = shutil.copy(SCRIPT, project / "scripts")
    write(project / "programs/apt-get", f"#!/bin/sh\n{apt_get}\n")
    path = f"{project / 'programs'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [script, "--unpack"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_client_tools_find_the_libraries_unpacked_beside_them(tmp_path: Path) -> None:
    project = tmp_path / "my project"
    done = unpack(project, f"cp '{package(tmp_path / 'mosquitto')}' .")
    assert done.returncode == 0, done.stderr
    tool = project / ".mosquitto/bin/mosquitto_pub"
    said = subprocess.check_output([tool], text=True)
    libraries = project / ".mosquitto/usr/lib/some-triplet"
    assert said == f"mosquitto version 9, libraries {libraries}\n"


def test_what_could_not_be_fetched_leaves_nothing_that_looks_like_a_broker(
    tmp_path: Path,
) -> None:
    done = unpack(tmp_path / "project", "exit 1")
    assert done.returncode == 1
    assert "Way out: sudo apt-get install mosquitto" in done.stderr
    assert list((tmp_path / "project").glob(".mosquitto*")) == []


def test_what_does_not_run_is_not_kept(tmp_path: Path) -> None:
    deb = package(tmp_path / "mosquitto", program="#!/bin/sh\nexit 127\n")
    done = unpack(tmp_path / "project", f"cp '{deb}' .")
    assert done.returncode == 1
    assert "the unpacked Mosquitto does not run. Way out" in done.stderr
    assert list((tmp_path / "project").glob(".mosquitto*")) == []
