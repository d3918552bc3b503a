"""The root file system of a machine: where it is, and whether it takes writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node_agent.vitals import LinuxBoard

Machine = Callable[[str], Path]


def board_of(root: Path) -> LinuxBoard:
    return LinuxBoard(root, clock_synced=lambda: None)


ROOT_LINE = "22 1 179:2 / / {mount} shared:1 - ext4 /dev/mmcblk0p2 {superblock}\n"


def mountinfo(root: Path, *lines: str) -> Path:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/mountinfo").write_text("".join(lines))
    return root


@pytest.mark.parametrize(
    ("mount", "superblock", "read_only"),
    [
        ("rw,noatime", "rw", False),
        ("ro,nosuid", "rw", False),  # in the namespace of a confined service
        ("rw,noatime", "ro", True),
        ("rw,noatime", "ro,errors=remount-ro", True),
        ("rw,noatime", "rw,errors=remount-ro,emergency_ro", True),
        ("ro", "rw,shutdown", True),
        ("rw", "rw,data=ordered,norecovery", False),
    ],
)
def test_the_superblock_says_whether_the_card_takes_writes(
    machine: Machine, mount: str, superblock: str, *, read_only: bool
) -> None:
    line = ROOT_LINE.format(mount=mount, superblock=superblock)
    root = mountinfo(machine("pi4"), "21 1 0:1 / / rw - rootfs rootfs rw\n", line)
    assert board_of(root).vitals().disk_read_only is read_only


@pytest.mark.parametrize("option", ["ro", "emergency_ro"])
def test_without_mountinfo_the_mounts_are_read(machine: Machine, option: str) -> None:
    root = machine("pi4")
    line = f"/dev/mmcblk0p2 / ext4 rw,noatime,errors=remount-ro,{option} 0 0\n"
    (root / "proc/mounts").write_text(line)
    assert board_of(root).vitals().disk_read_only is True


OVERLAY = (
    "22 1 0:20 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,"
    "upperdir=/media/root-rw/up,workdir=/media/root-rw/work\n"
)
LOWER = "23 22 179:2 / /media/root-ro ro - ext4 /dev/mmcblk0p2 {}\n"
UPPER = "24 22 0:21 / /media/root-rw rw - tmpfs tmpfs-root rw\n"


@pytest.mark.parametrize(
    ("lower", "read_only"), [("ro", False), ("ro,emergency_ro", True)]
)
def test_under_an_overlay_the_card_is_what_may_have_failed(
    machine: Machine, lower: str, *, read_only: bool
) -> None:
    root = mountinfo(machine("pi4"), OVERLAY, LOWER.format(lower), UPPER)
    assert board_of(root).vitals().disk_read_only is read_only


def test_errors_that_ext4_recorded_are_said_apart(machine: Machine) -> None:
    line = ROOT_LINE.format(mount="rw", superblock="rw")
    root = mountinfo(machine("pi4"), line)
    assert board_of(root).facts().disk_errors is None
    fault = root / "sys/fs/ext4/mmcblk0p2"
    fault.mkdir(parents=True)
    (fault / "errors_count").write_text("3\n")
    assert board_of(root).facts().disk_errors == 3
    assert board_of(root).vitals().disk_read_only is False
    mountinfo(root, OVERLAY, LOWER.format("ro"), UPPER)
    assert board_of(root).facts().disk_errors == 3
    for nonsense in ("-1", "9" * 5000, "many", "3 4"):
        (fault / "errors_count").write_text(nonsense)
        assert board_of(root).facts().disk_errors is None
