"""Who a board is: its serial, an address that stays, or an id that is kept."""

from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from node_agent import identity
from node_agent.identity import hardware_id, known_id, make_kept, node_id


def test_the_id_is_the_end_of_the_boards_serial() -> None:
    assert node_id("10000000A1B2C3D4", ("dc:a6:32:01:02:03",)) == "pi-a1b2c3d4"


def test_without_a_serial_it_is_the_end_of_the_first_hardware_address() -> None:
    assert node_id("", ("dc:a6:32:01:02:03", "dc:a6:32:01:02:04")) == "pi-32010203"


def test_a_serial_of_zeros_is_none() -> None:
    assert node_id("0000000000000000", ("dc:a6:32:01:02:03",)) == "pi-32010203"


def test_with_neither_a_person_must_choose() -> None:
    with pytest.raises(ConfigError, match=r"set \[agent\] id"):
        node_id("", ())


def agent_id(root: Path, kept: Path, username: str = "") -> str:
    return known_id(root, kept, username) or make_kept(kept)


def plug_in(root: Path, name: str, mac: str, **files: str) -> None:
    """Make an interface; a file named ``device`` stands for its device's bus."""
    there = root / "sys/class/net" / name
    there.mkdir(parents=True)
    (there / "address").write_text(f"{mac}\n")
    (there / "type").write_text("1\n")
    for file, text in files.items():
        if file == "device":
            bus = root / "sys/bus" / text
            bus.mkdir(parents=True, exist_ok=True)
            (there / "device").mkdir()
            (there / "device/subsystem").symlink_to(bus)
        elif text == "/":
            (there / file).mkdir()
        else:
            (there / file).write_text(f"{text}\n")


DOCKER = "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("name", "mac", "files"),
    [
        ("eth0", DOCKER, {"addr_assign_type": "3"}),  # in a container
        ("eth0", "52:54:00:12:34:56", {"addr_assign_type": "0", "device": "virtio"}),
        ("wlan0", "a4:c3:f0:00:00:07", {"addr_assign_type": "1", "device": "sdio"}),
        ("docker0", "02:42:5e:11:9a:01", {"bridge": "/"}),
        ("br0", "dc:a6:32:01:02:03", {"bridge": "/"}),
        ("bond0", "dc:a6:32:01:02:03", {"bonding": "/"}),
        ("veth1a2b3c4", "dc:a6:32:01:02:03", {}),
        ("br-3fe1a2b4c5d6", "dc:a6:32:01:02:03", {}),
        ("tap0", "dc:a6:32:01:02:03", {"tun_flags": "0x1002"}),
        ("eth0", "no address", {"device": "platform"}),
    ],
)
def test_no_address_that_was_made_up_or_is_shared_becomes_an_id(
    tmp_path: Path, name: str, mac: str, files: dict[str, str]
) -> None:
    plug_in(tmp_path, name, mac, **files)
    assert hardware_id(tmp_path) == ""
    made = agent_id(tmp_path, tmp_path / "state" / identity.KEPT_ID)
    assert made != node_id("", (DOCKER,))
    assert agent_id(tmp_path, tmp_path / "state" / identity.KEPT_ID) == made
    assert agent_id(tmp_path, tmp_path / "another" / identity.KEPT_ID) != made


def test_the_real_card_of_a_container_host_wins_over_its_bridges(
    tmp_path: Path,
) -> None:
    plug_in(tmp_path, "br-3fe1a2b4c5d6", "02:42:10:00:00:03", bridge="/")
    plug_in(tmp_path, "docker0", "02:42:5e:11:9a:01", bridge="/")
    plug_in(tmp_path, "eth0", "bc:24:11:4e:0a:77")
    assert hardware_id(tmp_path) == "pi-114e0a77"


def test_onboard_wired_permanent_addresses_are_preferred(tmp_path: Path) -> None:
    plug_in(tmp_path, "eth0", "00:e0:4c:00:00:01", device="usb")
    plug_in(tmp_path, "wlan0", "dc:a6:32:01:02:04", device="sdio", phy80211="/")
    plug_in(tmp_path, "eth2", "dc:a6:32:00:00:09", device="pci", addr_assign_type="3")
    plug_in(tmp_path, "eth1", "dc:a6:32:01:02:03", device="pci", addr_assign_type="0")
    plug_in(tmp_path, "br0", "dc:a6:32:01:02:03", bridge="/")
    plug_in(tmp_path, "docker0", "02:42:5e:11:9a:01", bridge="/")
    assert hardware_id(tmp_path) == "pi-32010203"
    assert identity.hardware_addresses(tmp_path) == (
        "dc:a6:32:01:02:03",
        "00:e0:4c:00:00:01",
        "dc:a6:32:01:02:04",
        "dc:a6:32:00:00:09",
        "02:42:5e:11:9a:01",
    )


@pytest.mark.parametrize(
    "serial",
    [
        "",
        "0",
        "000000000000",
        "ffffffffffffffff",
        "1234",
        "0123456789ABCDEF",
        "a b c d",
    ],
)
def test_a_serial_that_names_no_board_is_none(tmp_path: Path, serial: str) -> None:
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "serial-number").write_text(f"{serial}\0")
    assert hardware_id(tmp_path) == ""
    plug_in(tmp_path, "eth0", "dc:a6:32:01:02:03", device="pci")
    assert hardware_id(tmp_path) == "pi-32010203"
    kept = tmp_path / identity.KEPT_ID
    enrolled = "pi-89abcdef"
    found = agent_id(tmp_path, kept, username=enrolled)
    assert found == (enrolled if serial.endswith("F") else "pi-32010203")


def test_a_serial_is_the_id_whatever_was_kept(tmp_path: Path) -> None:
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "serial-number").write_text("10000000a1b2c3d4\0")
    kept = tmp_path / identity.KEPT_ID
    kept.write_text("pi-00000007\n")
    assert agent_id(tmp_path, kept) == "pi-a1b2c3d4"


def test_an_id_that_was_kept_stays_when_a_card_is_plugged_in(tmp_path: Path) -> None:
    kept = tmp_path / "state" / identity.KEPT_ID
    first = agent_id(tmp_path, kept)
    plug_in(tmp_path, "eth0", "dc:a6:32:01:02:03", device="pci")
    assert agent_id(tmp_path, kept) == first


def test_a_permanent_address_is_not_written_down(tmp_path: Path) -> None:
    plug_in(tmp_path, "eth0", "dc:a6:32:01:02:03", device="pci")
    kept = tmp_path / "state" / identity.KEPT_ID
    assert agent_id(tmp_path, kept) == "pi-32010203"
    assert not kept.exists()


def test_an_agent_that_was_enrolled_by_such_an_address_keeps_its_id(
    tmp_path: Path,
) -> None:
    plug_in(tmp_path, "eth0", "52:54:00:12:34:56", device="virtio")
    kept = tmp_path / identity.KEPT_ID
    assert agent_id(tmp_path, kept, username="pi-00123456") == "pi-00123456"
    assert not kept.exists()
    assert agent_id(tmp_path, kept, username="operator") not in {
        "operator",
        "pi-00123456",
    }


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 12, b"\xff\xfe", b"pi one", b"x" * 99]
)
def test_a_torn_file_is_put_aside_and_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / identity.KEPT_ID
    kept.write_bytes(content)
    made = agent_id(tmp_path, kept)
    assert agent_id(tmp_path, kept) == made
    assert kept.with_suffix(".broken").read_bytes() == content
    assert "is not a node id): put aside" in caplog.text


def test_an_id_that_cannot_be_kept_is_asked_of_a_person(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"set \[agent\] id"):
        agent_id(tmp_path, tmp_path / "file" / identity.KEPT_ID)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
