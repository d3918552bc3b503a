"""A board read from the files of a Pi 4, a Pi 5 and a PC."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from broker.messages import ThrottleFlag
from node_agent.vitals import LinuxBoard

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
