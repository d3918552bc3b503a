"""Packages of another architecture, without installing one."""

import shutil
from pathlib import Path

import pytest

from tests.system.machines import packages
from tests.system.machines.packages import Packages, PackagesError

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(packages.missing()), reason=packages.missing()),
]


def test_packages_of_another_machine_are_unpacked_with_what_they_need(
    tmp_path: Path,
) -> None:
    """A program for s390x and its library, which nothing here could have run."""
    asked = Packages("bookworm", "s390x", tmp_path)
    with pytest.raises(PackagesError, match=r"Unable to locate package no-such-thing"):
        asked.unpacked("no-such-thing")
    folder = asked.unpacked("sl")
    assert (folder / "usr/games/sl").is_file()
    assert list(folder.glob("lib/s390x-linux-gnu/libc.so.6"))
    assert (folder / "lib").readlink() == Path("usr/lib")
    # What was unpacked is kept; a choice of files is another folder.
    shutil.rmtree(tmp_path / "apt-bookworm-s390x")
    assert asked.unpacked("sl") == folder
    only = asked.unpacked("sl", matching="sl", files=("./usr/games/*",))
    assert [file.name for file in only.rglob("*") if file.is_file()] == ["sl"]
