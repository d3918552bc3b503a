"""A board read from the files of a Pi 4, a Pi 5 and a PC."""

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import psutil
import pytest

from broker.contract.messages import ThrottleFlag
from node_agent.vitals import LinuxBoard, architecture

Machine = Callable[[str], Path]


def board_of(root: Path) -> LinuxBoard:
    def no_vcgencmd() -> NoReturn:
        raise FileNotFoundError(2, "No such file or directory")

    return LinuxBoard(root, ask=no_vcgencmd, clock_synced=lambda: None)


def test_a_pi_4_says_who_it_is(machine: Machine) -> None:
    facts = board_of(machine("pi4")).facts()
    assert facts.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts.serial == "10000000a1b2c3d4"
    assert facts.boot_id == "6f1a3c5e-2222-4b4b-8c8c-0123456789ab"
    assert facts.hostname == "raspberrypi"
    assert facts.os == "Debian GNU/Linux 12 (bookworm)"
    assert facts.kernel == "6.6.51+rpt-rpi-v8"
    assert facts.memory_bytes == 4_000_000 * 1024
    assert facts.clock_synced is None
    assert not facts.simulated


def test_reading_a_recorded_machine_leaves_psutil_on_this_one(machine: Machine) -> None:
    board = board_of(machine("pi4"))
    board.facts()
    board.vitals()
    assert psutil.PROCFS_PATH == "/proc"
    assert psutil.pid_exists(1)


def test_hardware_addresses_are_wired_then_wireless_then_virtual(
    machine: Machine,
) -> None:
    assert board_of(machine("pi4")).facts().macs == (
        "dc:a6:32:01:02:03",
        "dc:a6:32:01:02:04",
        "02:42:aa:bb:cc:dd",
    )


def test_a_pi_4_says_how_it_is(machine: Machine) -> None:
    vitals = board_of(machine("pi4")).vitals()
    assert vitals.uptime_s == pytest.approx(86400.5)
    assert vitals.load == pytest.approx((0.52, 0.41, 0.33))
    assert vitals.memory_percent == pytest.approx(25.0)
    assert vitals.swap_percent == pytest.approx(25.0)
    assert vitals.temperature_c == pytest.approx(48.686)
    assert not vitals.disk_read_only


def test_loopback_is_no_traffic(machine: Machine) -> None:
    vitals = board_of(machine("pi4")).vitals()
    assert vitals.rx_bytes == 1_002_000
    assert vitals.tx_bytes == 501_000


def test_a_disk_is_counted_once_although_its_partitions_are_listed_too(
    machine: Machine,
) -> None:
    assert board_of(machine("pi4")).vitals().disk_written_bytes == 20480 * 512


def test_throttle_bits_come_from_sysfs_now_and_since_boot(machine: Machine) -> None:
    throttled = board_of(machine("pi4")).vitals().throttled
    assert throttled is not None
    bits = (ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED)
    assert throttled.now == bits
    assert throttled.since_boot == bits
    assert throttled.unknown == ""


def test_cpu_is_the_busy_share_since_the_last_reading(machine: Machine) -> None:
    root = machine("pi4")
    board = board_of(root)
    (root / "proc/stat").write_text("cpu  1060 0 515 8020 505 0 0 0 0 0\n")
    assert board.vitals().cpu_percent == pytest.approx(75.0)
    assert board.vitals().cpu_percent == 0.0


def test_a_pi_5_is_read_through_sysfs_alone(machine: Machine) -> None:
    board = board_of(machine("pi5"))
    assert board.facts().model == "Raspberry Pi 5 Model B Rev 1.0"
    assert board.facts().serial == "5ebd7a1c0badcafe"


def test_a_raspberry_without_a_way_to_its_firmware_is_unknown_not_ok(
    machine: Machine,
) -> None:
    throttled = board_of(machine("pi5")).vitals().throttled
    assert throttled is not None
    assert "vcgencmd cannot be started" in throttled.unknown


def test_what_is_mounted_last_on_the_root_says_whether_it_is_read_only(
    machine: Machine,
) -> None:
    assert board_of(machine("pi5")).vitals().disk_read_only


def test_a_machine_without_block_devices_writes_nothing(machine: Machine) -> None:
    assert board_of(machine("pi5")).vitals().disk_written_bytes == 0


def test_a_pc_has_a_product_name_and_neither_serial_nor_throttle_bits(
    machine: Machine,
) -> None:
    board = board_of(machine("pc"))
    assert board.facts().model == "ThinkPad T14 Gen 3"
    assert board.facts().serial == ""
    assert board.facts().macs[0] == "54:ee:75:0a:0b:0c"
    assert board.vitals().throttled is None


def test_the_processors_thermal_zone_is_preferred_to_the_first(
    machine: Machine,
) -> None:
    assert board_of(machine("pc")).vitals().temperature_c == pytest.approx(61.0)


def test_a_machine_without_a_sensor_has_no_temperature(machine: Machine) -> None:
    root = machine("pi4")
    (root / "sys/class/thermal/thermal_zone0/temp").write_text("")
    assert board_of(root).vitals().temperature_c is None


def test_this_very_machine_can_be_read(machine: Machine) -> None:
    del machine  # its end restores psutil
    board = LinuxBoard()
    vitals = board.vitals()
    assert 0 <= (vitals.cpu_percent or 0) <= 100
    assert 0 < (vitals.disk_percent or 0) <= 100
    assert vitals.uptime_s > 0
    assert board.facts().cpu_count >= 1
    assert board.wall_time() > 1_700_000_000


# -- one value that cannot be read costs that value --------------------------------

READ_FROM = {
    "proc/stat": {"cpu_percent"},
    "proc/loadavg": {"load"},
    "proc/meminfo": {"memory_percent", "swap_percent"},
    "proc/mounts": {"disk_read_only"},
    "proc/net/dev": {"rx_bytes", "tx_bytes"},
    "proc/diskstats": {"disk_written_bytes"},
    "sys/class/thermal/thermal_zone0/temp": {"temperature_c"},
}
BROKEN = {
    "empty": b"",
    "one word": b"0.10\n",
    "not UTF-8": b"\xff\xfe\x00\n",
    "words": b"cpu no numbers here\n a: b c\n",
    "17 fields": b"8       0 sda 0 0 0 0 46 0 977 34 0 2 0 0 0 0\n",
    "huge": b"9" * 5000 + b"\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("file", READ_FROM)
def test_one_broken_file_costs_its_own_values_and_nothing_else(
    machine: Machine, file: str, content: bytes
) -> None:
    root = machine("pi4")
    board = board_of(root)
    whole = board.vitals()
    (root / file).write_bytes(content)
    left = board.vitals()
    lost = {
        name
        for name in set(left.__struct_fields__) - {"disk_percent"}  # of this machine
        if getattr(left, name) != getattr(whole, name)
    }
    assert lost <= READ_FROM[file]
    unreadable = board.facts().unreadable
    assert unreadable.keys() <= READ_FROM[file]
    assert all(unreadable.values())
    for name in unreadable:
        assert getattr(left, name) is None


@pytest.mark.parametrize(
    ("file", "content", "lost"),
    [
        ("proc/diskstats", BROKEN["17 fields"], {"disk_written_bytes"}),
        ("proc/loadavg", BROKEN["one word"], {"load"}),
        ("proc/stat", BROKEN["empty"], {"cpu_percent"}),
        ("proc/meminfo", BROKEN["empty"], {"memory_percent"}),
        ("proc/net/dev", BROKEN["words"], {"rx_bytes", "tx_bytes"}),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(
    machine: Machine, file: str, content: bytes, lost: set[str]
) -> None:
    root = machine("pi4")
    board = board_of(root)
    (root / file).write_bytes(content)
    board.vitals()
    assert lost <= board.facts().unreadable.keys()


def test_a_machine_that_shows_nothing_still_beats_with_its_uptime(
    tmp_path: Path, machine: Machine
) -> None:
    del machine  # its end restores psutil
    board = board_of(tmp_path)
    vitals = board.vitals()
    assert vitals.uptime_s > 0
    assert (vitals.cpu_percent, vitals.load, vitals.rx_bytes) == (None, None, None)
    assert board.facts().boot_id == "unknown"
    assert {"cpu_percent", "load", "memory_percent"} <= board.facts().unreadable.keys()


@pytest.mark.parametrize("text", ["nan 1", "inf 1", "-5 1", "1e300 1", "x", ""])
def test_an_uptime_that_cannot_be_true_comes_from_the_kernel(
    machine: Machine, text: str
) -> None:
    root = machine("pi4")
    (root / "proc/uptime").write_text(f"{text}\n")
    assert 0 < board_of(root).vitals().uptime_s < 1e9


def test_a_reason_stays_the_same_while_a_value_stays_unreadable(
    machine: Machine,
) -> None:
    root = machine("pi4")
    board = board_of(root)
    said = []
    for written in (977, 978):
        line = f"8 0 sda 0 0 0 0 46 0 {written} 34 0 2 0 0 0 0\n"
        (root / "proc/diskstats").write_text(line)
        board.vitals()
        said.append(board.facts())
    assert said[0] == said[1]


def test_a_value_that_came_back_is_readable_again_in_details(machine: Machine) -> None:
    root = machine("pi4")
    load = (root / "proc/loadavg").read_text()
    board = board_of(root)
    (root / "proc/loadavg").write_text("0.1\n")
    board.vitals()
    (root / "proc/loadavg").write_text(load)
    assert board.vitals().load == pytest.approx((0.52, 0.41, 0.33))
    assert board.facts().unreadable.keys() == {"load"}
    board.vitals()
    assert board.facts().unreadable == {}


# -- temperature -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-650788984", None),
        ("2147483647", None),
        ("9999999999999999999999", None),
        ("-128000", None),
        ("0", None),
        ("", None),
        ("48.5", None),
        ("85000", 85.0),
        ("-5000", -5.0),
        ("125000", 125.0),
    ],
)
def test_no_temperature_goes_out_that_cannot_be_true(
    machine: Machine, text: str, shown: float | None
) -> None:
    root = machine("pi4")
    board = board_of(root)
    (root / "sys/class/thermal/thermal_zone0/temp").write_text(f"{text}\n")
    assert board.vitals().temperature_c == shown


def zones(root: Path, **found: int) -> Path:
    """Replace the thermal zones of a machine, by type."""
    for number, (kind, temperature_c) in enumerate(found.items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "type").write_text(kind.replace("_", "-") + "\n")
        (zone / "temp").write_text(f"{temperature_c * 1000}\n")
    return root


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ({"AO_therm": 44, "CPU_therm": 35, "PMIC_Die": 100}, 35),
        ({"gpu_thermal": 50, "cpu0_thermal": 51}, 51),
        ({"center_thermal": 40, "bigcore0_thermal": 52, "littlecore_thermal": 48}, 52),
        ({"PMIC_Die": 100, "GPU_therm": 34}, 34),
        ({"PMIC_Die": 100}, None),
    ],
)
def test_the_processors_sensor_is_found_whatever_its_maker_calls_it(
    machine: Machine, found: dict[str, int], shown: float | None
) -> None:
    root = machine("pi4")
    assert board_of(zones(root, **found)).vitals().temperature_c == shown


def test_a_person_may_name_the_sensor(machine: Machine) -> None:
    root = zones(machine("pi4"), CPU_therm=35, GPU_therm=61)
    assert LinuxBoard(root, temperature="gpu-therm").vitals().temperature_c == 61
    wrong = LinuxBoard(root, temperature="gpu")
    assert wrong.vitals().temperature_c is None
    assert "no thermal zone is of type 'gpu'" in str(wrong.facts().unreadable)


# -- traffic, memory, architecture -------------------------------------------------

TRAFFIC = """\
Inter-|   Receive                        |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop
    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
  eth0: 1000000 900 0 0 0 0 0 0 2000 20 0 0 0 0 0 0
docker0: 2000 20 0 0 0 0 0 0 1000000 900 0 0 0 0 0 0
br-3fe1a2b4c5d6: 2000 20 0 0 0 0 0 0 1000000 900 0 0 0 0 0 0
veth1a2b3c4: 2000 20 0 0 0 0 0 0 1000000 900 0 0 0 0 0 0
  tun0: 2000 20 0 0 0 0 0 0 1000000 900 0 0 0 0 0 0
"""


@pytest.mark.parametrize("has_device", [True, False])
def test_what_passes_a_container_is_counted_once(
    machine: Machine, *, has_device: bool
) -> None:
    root = machine("pi4")
    (root / "proc/net/dev").write_text(TRAFFIC)
    if not has_device:
        for device in root.glob("sys/class/net/*/device"):
            device.rmdir()
    vitals = board_of(root).vitals()
    assert (vitals.rx_bytes, vitals.tx_bytes) == (1_000_000, 2_000)


ARC = "13 1 0x01 116\nname type data\nsize 4 1500000000\nc_min 4 250000000\n"


def test_what_zfs_gives_back_is_not_memory_in_use(machine: Machine) -> None:
    root = machine("pi4")
    arcstats = root / "proc/spl/kstat/zfs/arcstats"
    arcstats.parent.mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        (root / "proc/meminfo").read_text().replace("3000000 kB", "1000000 kB")
    )
    before = board_of(root).vitals().memory_percent
    arcstats.write_text(ARC)
    assert before == pytest.approx(75.0)
    assert board_of(root).vitals().memory_percent == pytest.approx(44.5, abs=0.1)
    (root / "proc/self").mkdir()
    (root / "proc/self/mountinfo").write_text(
        "22 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n"
        "30 22 0:40 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n"
    )
    assert board_of(root).vitals().memory_percent == before


@pytest.mark.parametrize(
    ("kernel", "wide", "said"),
    [
        ("aarch64", True, "aarch64"),
        ("aarch64", False, "aarch64 (32-bit programs)"),
        ("armv7l", False, "armv7l"),
        ("i686", True, "i686 (64-bit programs)"),
    ],
)
def test_programs_of_another_width_than_the_kernel_are_said(
    kernel: str, said: str, *, wide: bool
) -> None:
    assert architecture(kernel, wide=wide) == said


def test_the_interface_with_the_default_route_has_the_first_address(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine("pi4")
    addresses = {
        "br-3fe1a2b4c5d6": "172.18.0.1",
        "eth0": "192.168.99.1",
        "wlan0": "192.0.2.21",
        "lo": "127.0.0.1",
    }
    found = {
        name: [SimpleNamespace(family=socket.AF_INET, address=address)]
        for name, address in addresses.items()
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    assert board_of(root).facts().addresses == (
        "192.168.99.1",
        "192.0.2.21",
        "172.18.0.1",
    )
    (root / "proc/net/route").write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 0063A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        "wlan0 00000000 010200C0 0003 0 0 600 00000000 0 0 0\n"
    )
    assert board_of(root).facts().addresses[0] == "192.0.2.21"
