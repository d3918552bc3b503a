"""What is heard on the network: DHCP messages, leases and agents."""

import asyncio
import stat
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract.messages import Details
from provisioning.backends import dhcpd, dnsmasq, files, kea
from provisioning.backends.backend import Lease, LeaseSource, lease_heard
from provisioning.backends.daemon import ChildDaemon
from provisioning.backends.dnsmasq import parse_leases
from provisioning.common.network import BoardHeard, ForeignServer, HeardKind
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, DhcpKind, Op, Option, board_of
from provisioning.discovery.packet_socket import (
    Arp,
    Datagram,
    decode_arp,
    decode_udp,
    encode_question,
    encode_udp,
)
from provisioning.discovery.sources import (
    NO_ADDRESS,
    AgentSource,
    asked,
    foreign_server,
)
from provisioning.fake import FakeBackend
from provisioning.run.state import InstallRun
from provisioning.run.texts import listed
from tests.provisioning.harness import SUBNET

MAC = "dc:a6:32:01:36:c2"


def message(kind: DhcpKind, op: Op = Op.REQUEST, **options: bytes) -> Dhcp:
    named = {int(Option[name.upper()]): value for name, value in options.items()}
    return Dhcp(op=op, kind=kind, mac=MAC, xid=7, options=named)


def datagram(payload: bytes) -> Datagram:
    return Datagram(MAC, NO_ADDRESS, 68, "255.255.255.255", 67, payload)


def test_a_message_survives_the_wire() -> None:
    sent = message(DhcpKind.DISCOVER, hostname=b"pi", client_id=b"\1\2")
    got = decode_udp(encode_udp(datagram(dhcp.encode(sent))))
    assert got is not None
    assert got.mac == MAC
    assert dhcp.decode(got.payload) == sent


def test_a_padded_frame_gives_only_the_datagram() -> None:
    frame = encode_udp(datagram(b"abc")) + bytes(40)
    got = decode_udp(frame)
    assert got is not None
    assert got.payload == b"abc"


def test_an_option_in_two_parts_is_put_together() -> None:
    raw = dhcp.encode(message(DhcpKind.DISCOVER))
    end = raw.index(bytes([53, 1, 1])) + 3
    parts = raw[:end] + bytes([12, 2]) + b"ra" + bytes([0, 12, 2]) + b"sp" + b"\xff"
    got = dhcp.decode(parts)
    assert got is not None
    assert got.text(Option.HOSTNAME) == "rasp"


@given(st.binary(max_size=400))
def test_no_noise_on_the_wire_raises(noise: bytes) -> None:
    decode_udp(noise)
    decode_arp(noise)
    dhcp.decode(noise)
    head = dhcp.encode(message(DhcpKind.DISCOVER))[:240]
    got = dhcp.decode(head + noise)
    if got is not None:
        asked(got)
        foreign_server(datagram(b""), got)


def test_a_discover_names_no_address_and_a_request_does() -> None:
    wish = message(DhcpKind.DISCOVER, requested_address=bytes([10, 0, 0, 9]))
    assert asked(wish) == BoardHeard(mac=MAC, kind=HeardKind.DISCOVER)
    request = asked(message(DhcpKind.REQUEST, requested_address=bytes([10, 0, 0, 9])))
    assert request is not None
    assert request.address == "10.0.0.9"
    assert asked(message(DhcpKind.RELEASE)) is None


def test_an_answer_names_its_server() -> None:
    empty = message(DhcpKind.OFFER, Op.REPLY, server=bytes([10, 0, 0, 1]))
    offer = msgspec.structs.replace(empty, yiaddr="10.0.0.9")
    seen = Datagram("02:00:00:00:00:01", "10.0.0.2", 67, "255.255.255.255", 68, b"")
    server = ForeignServer("10.0.0.1", "02:00:00:00:00:01")
    assert foreign_server(seen, offer) == server
    assert foreign_server(seen, message(DhcpKind.NAK, Op.REPLY)) == ForeignServer(
        "10.0.0.2", server.mac
    )
    assert foreign_server(seen, empty) is None, "it tells boot code what to boot"
    assert foreign_server(seen, message(DhcpKind.DISCOVER)) is None


def test_option_97_tells_model_and_serial() -> None:
    new = b"\0RPi5" + struct.pack("<III", 0xD04170, 0xC2360132, 0x51000301)
    assert board_of(new) == ("Raspberry Pi 5", "51000301")
    old = b"\0" + struct.pack("<I", 0x51000301) * 4
    assert board_of(old) == ("Raspberry Pi", "51000301")
    for other in (b"", b"\0" * 17, b"\1" + new[1:], bytes(range(17))):
        assert board_of(other) == ("", "")


def test_a_question_for_an_address_names_the_address_of_the_asker() -> None:
    assert decode_arp(encode_question(MAC, "10.0.0.1", "10.0.0.9")) == Arp(
        1, MAC, "10.0.0.1", "10.0.0.9"
    )
    assert decode_arp(encode_udp(datagram(b"x" * 40))) is None


def test_leases_of_dnsmasq_are_read() -> None:
    text = "1795223557 DC:a6:32:01:36:c2 10.0.0.200 raspberrypi 01:dc\nduid 00:01\n"
    text += "0 dc:a6:32:00:00:01 10.0.0.201 * *\nnonsense x y z w\n"
    assert dnsmasq.parse_leases(text) == (
        Lease(MAC, "10.0.0.200", 1795223557.0, "raspberrypi"),
        Lease("dc:a6:32:00:00:01", "10.0.0.201", float("inf")),
    )


def test_the_last_block_of_dhcpd_holds() -> None:
    block = (
        "lease 10.0.0.200 {{\n  starts 6 2026/11/21 00:30:12;\n"
        "  ends 6 2026/11/21 00:32:12;\n  binding state {state};\n"
        '  hardware ethernet {mac};\n  client-hostname "pi";\n}}\n'
    )
    first = block.format(state="active", mac="dc:a6:32:00:00:01")
    active = block.format(state="active", mac=MAC)
    freed = block.format(state="free", mac=MAC)
    (lease,) = dhcpd.parse_leases("# comment\n" + first + active)
    assert lease == Lease(MAC, "10.0.0.200", 1795221132.0, "pi")
    assert dhcpd.parse_leases(active + freed) == ()


def test_the_last_row_of_kea_holds() -> None:
    head = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,"
    head += "fqdn_rev,hostname,state,user_context\n"
    row = "10.0.0.200,{mac},,{life},1795221132,1,0,0,pi.,0,\n"
    active = row.format(mac=MAC, life=120)
    assert kea.parse_leases(head + active) == (
        Lease(MAC, "10.0.0.200", 1795221132.0, "pi"),
    )
    assert kea.parse_leases(head + active + row.format(mac=MAC, life=0)) == ()
    assert kea.parse_leases("") == ()


def test_kea_2_6_is_told_that_all_its_files_are_in_our_folder(tmp_path: Path) -> None:
    assert kea.environment(tmp_path) == {
        "KEA_PIDFILE_DIR": str(tmp_path),
        "KEA_LOCKFILE_DIR": str(tmp_path),
        "KEA_CONTROL_SOCKET_DIR": str(tmp_path),
        "KEA_DHCP_DATA_DIR": str(tmp_path),
    }


@pytest.mark.parametrize(("unit", "mode"), [(False, 0o750), (True, 0o770)])
def test_kea_2_6_gets_the_mode_it_demands_where_the_folder_is_ours(
    tmp_path: Path, mode: int, *, unit: bool
) -> None:
    tmp_path.chmod(0o770)
    daemon = ChildDaemon((), tmp_path)
    kea.Kea(SUBNET, tmp_path, daemon, unit=unit).prepare()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode


if TYPE_CHECKING:
    from tests.provisioning.harness import Rig

NewRig = Callable[..., "Rig"]
Virtually = Callable[[Coroutine[Any, Any, Any]], Any]


class Ear:
    def __init__(self) -> None:
        self.asks: list[BoardHeard] = []

    def heard(self, ask: BoardHeard) -> None:
        self.asks.append(ask)

    def server(self, server: ForeignServer) -> None:
        raise AssertionError(server)


DETAILS = Details(
    session="s1",
    boot_id="b1",
    hostname="raspberrypi",
    interval_s=10,
    agent_version="0.1",
    model="Raspberry Pi 4 Model B",
    serial="1000000051000301",
    macs=("DC:A6:32:01:36:C2", "dc:a6:32:01:36:c3"),
    addresses=("fe80::1", "192.168.23.77"),
)


async def test_an_agents_first_words_are_a_birth() -> None:
    source, ear = AgentSource(), Ear()
    source.said("pi-1", DETAILS, retained=False)
    await source.start(ear)
    source.said("pi-1", DETAILS, retained=False)
    again = msgspec.structs.replace(DETAILS, session="s2")
    source.said("pi-1", again, retained=False)
    assert not ear.asks, "the same boot as before: it only connected again"
    source.said("pi-1", msgspec.structs.replace(again, boot_id="b2"), retained=False)
    assert ear.asks == [
        BoardHeard(
            mac="dc:a6:32:01:36:c2",
            kind=HeardKind.BIRTH,
            address="192.168.23.77",
            hostname="raspberrypi",
            model="Raspberry Pi 4 Model B",
            serial="51000301",
        )
    ]
    await source.stop()


async def test_a_hardware_address_that_changes_in_one_boot_is_no_birth() -> None:
    """A bridge takes the address of a port, or an adapter is plugged in."""
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    source.said("pi-1", DETAILS, retained=True)
    other = msgspec.structs.replace(DETAILS, macs=("5a:fd:4c:93:cf:c8",))
    source.said("pi-1", other, retained=False)
    assert not ear.asks


NOT_BOARDS = (
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:01",
    "00:00:00:00:00:00",
    "02:00:00:00:01:01",
)


@pytest.mark.parametrize("kind", HeardKind)
def test_groups_nobody_and_this_machine_are_no_boards(
    new_rig: NewRig, virtually: Virtually, kind: HeardKind
) -> None:
    rig = new_rig(1, 4)

    async def install() -> InstallRun:
        installer = rig.installer(own=lambda: {NOT_BOARDS[-1]})
        await installer.start()
        await installer.begin(rig.params)
        await rig.reach(installer, lambda run: run.powered_at)
        for mac in NOT_BOARDS:
            rig.rack.source.hear(BoardHeard(mac=mac, kind=kind))
        return await rig.ended(installer)

    run = virtually(install())
    assert len(run.verified) == 4
    assert not run.findings


async def test_what_a_board_says_of_itself_is_short_and_in_one_line() -> None:
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    lies = {
        "addresses": ("1.2.3", "tftp.example", "192.168.23.300", "192.168.23.9"),
        "hostname": "pi\n\x1b[31m\u202e",
        "model": "x" * 200,
    }
    source.said("pi-1", msgspec.structs.replace(DETAILS, **lies), retained=False)
    (ask,) = ear.asks
    assert ask.address == "192.168.23.9"
    assert ask.hostname == "pi[31m"
    assert ask.model == "x" * 64


def test_a_lease_file_that_is_no_text_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "leases").write_bytes(b"1 dc:a6:32:00:00:01 ? \xff\xfe *\n")
    (lease,) = parse_leases(files.read(tmp_path / "leases") or "")
    assert lease_heard(lease).address == ""


async def test_old_words_goodbyes_and_boards_without_address_are_no_births() -> None:
    source, ear = AgentSource(), Ear()
    await source.start(ear)
    replace = msgspec.structs.replace
    source.said("pi-1", replace(DETAILS, boot_id="b3"), retained=True)
    source.said(
        "pi-1", replace(DETAILS, boot_id="b4", reason="shutdown"), retained=False
    )
    source.said("pi-1", replace(DETAILS, boot_id="b5", macs=()), retained=False)
    source.said("pi-1", replace(DETAILS, boot_id="b6", macs=("?",)), retained=False)
    assert not ear.asks


def test_only_new_leases_are_heard(new_rig: NewRig, virtually: Virtually) -> None:
    rig = new_rig(1, 2)
    ear = Ear()

    async def story() -> None:
        rig.rack.backend.lend("dc:a6:32:00:00:01")
        source = LeaseSource(rig.rack.backend)
        await source.start(ear)
        await asyncio.sleep(2)
        rig.rack.backend.lend("dc:a6:32:00:00:02")
        await asyncio.sleep(2)
        await source.stop()
        await source.stop()

    virtually(story())
    (ask,) = ear.asks
    assert (ask.mac, ask.kind) == ("dc:a6:32:00:00:02", HeardKind.LEASE)


class HalfWritten(FakeBackend):
    """A server whose file is read in the middle of a rewrite, every other time."""

    reads = 0

    async def leases(self) -> tuple[Lease, ...]:
        self.reads += 1
        return () if self.reads % 2 else await super().leases()


def test_a_file_that_is_read_half_written_makes_no_news(
    new_rig: NewRig, virtually: Virtually
) -> None:
    backend = HalfWritten(new_rig(1, 2).rack)
    ear = Ear()

    async def story() -> None:
        backend.lend("dc:a6:32:00:00:01")
        source = LeaseSource(backend)
        await source.start(ear)
        await asyncio.sleep(5)
        await source.stop()

    virtually(story())
    assert len(ear.asks) == 1


def test_numbers_are_written_as_people_do() -> None:
    assert listed([3, 1, 2, 7]) == "1-3, 7"
    assert listed([5]) == "5"
