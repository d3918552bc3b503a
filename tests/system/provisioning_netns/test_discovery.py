"""The sniffer, the probes and network boot against real sockets and servers."""

import asyncio
import secrets
import socket

import pytest

from provisioning.backends import dnsmasq
from provisioning.backends.checks import own_address_problems
from provisioning.backends.daemon import ChildDaemon
from provisioning.backends.dnsmasq import Netboot
from provisioning.common.errors import NetworkError
from provisioning.common.network import ArpAnswer, BoardHeard, ForeignServer, HeardKind
from provisioning.common.subnet import Reservation
from provisioning.discovery import dhcp
from provisioning.discovery.dhcp import Dhcp, Op, Option
from provisioning.discovery.dhcp import DhcpKind as Kind
from provisioning.discovery.packet_socket import (
    Datagram,
    decode_udp,
    encode_udp,
    own_hardware_addresses,
)
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import NO_ADDRESS, Sniffer, open_dhcp_socket
from tests.system.provisioning_netns.lab import MASTER, NEIGHBOUR, SUBNET, Lab
from tests.system.provisioning_netns.pi import run_ip
from tests.system.provisioning_netns.servers import SERVERS, MakeBackend

pytestmark = pytest.mark.system

BOARD = "dc:a6:32:01:36:c2"
GUID = b"\0RPi4" + bytes.fromhex("1131c000") + bytes.fromhex("c2360132")
GUID += bytes.fromhex("01030051")

BOOT_MENU = b"\6\1\3\x0a\4\0PXE\x09\x17\0\0\x14Raspberry Pi Boot   \xff"
"""Option 43 to the byte: no search for servers, a prompt (PXE), and a menu of one."""
TFTP_DATA = b"\0\3"


class Ear:
    def __init__(self) -> None:
        self.asks: list[BoardHeard] = []
        self.servers: list[ForeignServer] = []

    def heard(self, ask: BoardHeard) -> None:
        self.asks.append(ask)

    def server(self, server: ForeignServer) -> None:
        self.servers.append(server)


def boot_rom(
    kind: Kind, *, pxe: bool, xid: int = 0x51, sender: str = BOARD, **options: bytes
) -> bytes:
    """What a board's boot code or its system says, as a frame."""
    extra: dict[int, bytes] = {
        Option[name.upper()]: value for name, value in options.items()
    }
    if pxe:
        extra |= {
            Option.VENDOR: b"PXEClient:Arch:00000:UNDI:002001",
            Option.ARCHITECTURE: b"\0\0",
            Option.INTERFACE_VERSION: b"\1\2\1",
            Option.GUID: GUID,
        }
    message = Dhcp(
        op=Op.REQUEST, kind=kind, mac=BOARD, xid=xid, options=extra, broadcast=True
    )
    datagram = Datagram(
        sender, NO_ADDRESS, 68, "255.255.255.255", 67, dhcp.encode(message)
    )
    return encode_udp(datagram)


def over_relay(frame: bytes) -> bytes:
    """The same, as a relay passes it on: with its own address in it."""
    at = 14 + 20 + 8 + 24  # Ethernet, IP, UDP, and what comes before giaddr
    return frame[:at] + bytes([10, 77, 0, 3]) + frame[at + 4 :]


def send(lab: Lab, *frames: bytes) -> None:
    """Send frames from the neighbour's namespace."""

    async def main() -> None:
        with open_dhcp_socket("eth0") as raw:
            for frame in frames:
                raw.send(frame)

    lab.run(main, NEIGHBOUR)


def test_the_sniffer_hears_what_boards_say_and_nothing_else(lab: Lab) -> None:
    ear = Ear()
    noise = Datagram(BOARD, "10.77.0.9", 5353, "255.255.255.255", 5353, b"x" * 400)

    async def main() -> None:
        sniffer = Sniffer("eth1", str(SUBNET.own))
        await sniffer.start(ear)
        await asyncio.to_thread(
            send,
            lab,
            encode_udp(noise),
            b"\xff" * 60,
            boot_rom(Kind.REQUEST, pxe=False, sender="00:11:22:33:44:55"),
            over_relay(boot_rom(Kind.DISCOVER, pxe=True, sender="00:11:22:33:44:55")),
            boot_rom(
                Kind.REQUEST,
                pxe=False,
                requested_address=bytes([10, 77, 0, 10]),
                hostname=b"raspberrypi\0\x1b",
                client_id=b"\xff\1\2",
            ),
            boot_rom(Kind.DECLINE, pxe=False, requested_address=bytes([10, 77, 0, 11])),
            boot_rom(Kind.RELEASE, pxe=False),
        )
        async with asyncio.timeout(20):
            while len(ear.asks) < 3:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0.01)
        await sniffer.stop()
        await sniffer.stop()

    lab.run(main)
    discover, request, decline = ear.asks
    assert (discover.kind, discover.model, discover.serial) == (
        HeardKind.DISCOVER,
        "Raspberry Pi 4",
        "51000301",
    )
    assert (request.address, request.hostname, request.client_id) == (
        "10.77.0.10",
        "raspberrypi",
        "ff0102",
    )
    assert (decline.kind, decline.address) == (HeardKind.DECLINE, "10.77.0.11")
    assert not ear.servers


def test_a_board_of_another_vlan_on_the_same_cable_is_none_of_ours(lab: Lab) -> None:
    ear = Ear()
    frame = boot_rom(Kind.DISCOVER, pxe=True)
    tagged = frame[:12] + b"\x81\0\0\x07" + frame[12:]

    async def main() -> None:
        sniffer = Sniffer("eth1", str(SUBNET.own))
        await sniffer.start(ear)
        last = boot_rom(Kind.DECLINE, pxe=False)
        await asyncio.to_thread(send, lab, tagged, last)
        async with asyncio.timeout(20):
            while HeardKind.DECLINE not in {ask.kind for ask in ear.asks}:  # noqa: ASYNC110  # nobody is told
                await asyncio.sleep(0.01)
        await sniffer.stop()

    lab.run(main)
    assert [ask.kind for ask in ear.asks] == [HeardKind.DECLINE]


def test_an_adapter_that_is_pulled_out_and_put_in_again_hears_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.discovery.sources.LOOK_S", 0.05)
    ear = Ear()

    async def main() -> None:
        sniffer = Sniffer("eth1", str(SUBNET.own))
        await sniffer.start(ear)
        await asyncio.to_thread(lab.replug)
        async with asyncio.timeout(20):
            while not ear.asks:
                await asyncio.to_thread(send, lab, boot_rom(Kind.DISCOVER, pxe=True))
                await asyncio.sleep(0.05)
        await sniffer.stop()

    lab.run(main)
    assert ear.asks[0].mac == BOARD


def test_an_interface_that_is_not_there_is_named(lab: Lab) -> None:
    async def main() -> None:
        with pytest.raises(NetworkError, match="'eth9'"):
            await Sniffer("eth9", str(SUBNET.own)).start(Ear())

    lab.run(main)


def test_who_has_an_address_is_told_with_all_who_answer(lab: Lab) -> None:
    lab.static("10.77.0.20", "00:00:00:00:00:20")
    lab.static("10.77.0.21", "00:00:00:00:00:21")
    lab.static("10.77.0.21", "00:00:00:00:00:22")
    lab.static("10.77.0.22", "00:00:00:00:00:23")
    lab.static("10.77.0.22", "00:00:00:00:00:23")

    async def main() -> tuple[ArpAnswer, ...]:
        wire = NetworkProber("eth1", str(SUBNET.own), secrets.randbits)
        wanted = ["10.77.0.19", "10.77.0.20", "10.77.0.21", "10.77.0.22"]
        assert await wire.probe([], within_s=9) == ()
        return await wire.probe(wanted, within_s=2)

    assert lab.run(main) == (
        ArpAnswer(address="10.77.0.20", mac="00:00:00:00:00:20"),
        ArpAnswer(address="10.77.0.21", mac="00:00:00:00:00:21"),
        ArpAnswer(address="10.77.0.21", mac="00:00:00:00:00:22"),
        ArpAnswer(address="10.77.0.22", mac="00:00:00:00:00:23", replies=2),
    )


@pytest.mark.parametrize("make", SERVERS.values(), ids=SERVERS)
def test_a_dhcp_server_of_somebody_else_is_found_and_ours_is_not(
    lab: Lab, make: MakeBackend
) -> None:
    async def main() -> list[tuple[ForeignServer, ...]]:
        ours, _child = make(SUBNET, lab.folder / "dhcp")
        await ours.start()
        wire = NetworkProber("eth1", str(SUBNET.own), secrets.randbits)
        before = await wire.servers(within_s=0.3)
        await asyncio.to_thread(lab.rival)
        async with asyncio.timeout(20):
            while not (after := await wire.servers(within_s=0.3)):
                pass
        await ours.stop()
        return [before, after]

    assert lab.run(main) == [(), (ForeignServer("10.77.0.2", "02:00:00:00:77:03"),)]


@pytest.mark.parametrize("on", [False, True], ids=["off", "on"])
def test_network_boot_is_told_only_to_boot_code_and_only_when_it_is_on(
    lab: Lab, *, on: bool
) -> None:
    folder, root = lab.folder / "dhcp", lab.folder / "tftp"
    (root / "51000301").mkdir(parents=True)
    (root / "bootcode.bin").write_bytes(b"first")
    (root / "51000301" / "start4.elf").write_bytes(b"firmware")
    (lab.folder / "outside").write_bytes(b"secret")

    async def offers() -> list[Dhcp]:
        return await asyncio.to_thread(lab.run, ask, NEIGHBOUR)

    async def ask() -> list[Dhcp]:
        with open_dhcp_socket("eth0") as raw:
            raw.settimeout(20)
            found = []
            for pxe in (True, False):
                raw.send(boot_rom(Kind.DISCOVER, pxe=pxe, xid=0x51 + pxe))
                found.append(_offer(raw, 0x51 + pxe))
            return found

    async def main() -> tuple[Dhcp, Dhcp, list[bytes]]:
        child = ChildDaemon(dnsmasq.command(folder), folder)
        netboot = Netboot(root) if on else None
        backend = dnsmasq.Dnsmasq(SUBNET, folder, child, netboot)
        await backend.start()
        await backend.apply([Reservation(BOARD, "10.77.0.10", "s01n1")])
        rom, system = await offers()
        fetched = await asyncio.to_thread(lab.run, fetch, NEIGHBOUR)
        await backend.stop()
        return rom, system, fetched

    async def fetch() -> list[bytes]:
        wait_s = 20 if on else 0.5  # nobody answers where it is off
        paths = (*served, *refused) if on else served
        return [_tftp(path, wait_s) for path in paths]

    # A Pi 3 asks for bootcode.bin first, and then for all others below its serial.
    served = {"bootcode.bin": b"first", "51000301/start4.elf": b"firmware"}
    refused = ("bootsig.bin", "51000302/start4.elf", "../outside")
    rom, system, fetched = lab.run(main)
    assert rom.yiaddr == system.yiaddr == "10.77.0.10"
    assert rom.siaddr == str(SUBNET.own), "where it fetches its files"
    assert rom.options.get(Option.VENDOR_DATA, b"") == (BOOT_MENU if on else b"")
    assert rom.options.get(Option.VENDOR, b"") == (b"PXEClient" if on else b"")
    assert Option.VENDOR_DATA not in system.options
    nothing = [b""] * len(fetched)
    assert fetched == ([*served.values(), *nothing[len(served) :]] if on else nothing)


def _offer(raw: socket.socket, xid: int) -> Dhcp:
    while True:
        datagram = decode_udp(raw.recv(2048))
        message = dhcp.decode(datagram.payload) if datagram else None
        if message and message.kind is Kind.OFFER and message.xid == xid:
            return message


def _tftp(path: str, within_s: float) -> bytes:
    """Fetch a small file; empty when nobody serves it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(within_s)
        request = b"\0\1" + path.encode() + b"\0octet\0"
        client.sendto(request, (str(SUBNET.own), 69))
        try:
            answer, server = client.recvfrom(1024)
        except (TimeoutError, ConnectionRefusedError):
            return b""
        client.sendto(b"\0\4\0\1", server)
        return answer[4:] if answer[:2] == TFTP_DATA else b""


@pytest.mark.timeout(90)
def test_asking_who_has_an_address_makes_no_board_decline_it(lab: Lab) -> None:
    """A dhcpcd asks for 5 s whether its new address is free (RFC 5227).

    Another machine that probes for the same address meanwhile is a conflict.
    """
    board = lab.pi(BOARD, boot_s=0, program="dhcpcd")
    want = [Reservation(BOARD, "10.77.0.10", "s01n1")]
    ear = Ear()

    async def main() -> tuple[ArpAnswer, ...]:
        backend, _child = SERVERS["dnsmasq"](SUBNET, lab.folder / "dhcp")
        sniffer = Sniffer("eth1", str(SUBNET.own))
        wire = NetworkProber("eth1", str(SUBNET.own), secrets.randbits)
        await backend.start()
        await sniffer.start(ear)
        try:
            await backend.apply(want)
            await asyncio.to_thread(board.power_on)
            async with asyncio.timeout(40):
                while not (found := await wire.probe(["10.77.0.10"], within_s=0.2)):
                    assert all(ask.kind is not HeardKind.DECLINE for ask in ear.asks)
            return found
        finally:
            await sniffer.stop()
            await backend.stop()

    assert lab.run(main) == (ArpAnswer(address="10.77.0.10", mac=BOARD),)
    assert board.wait_address() == "10.77.0.10"
    assert all(ask.kind is not HeardKind.DECLINE for ask in ear.asks)


def test_a_question_needs_an_address_in_the_network_and_names_the_right_one(
    lab: Lab,
) -> None:
    master = lab.name(MASTER)
    lab.static("10.77.0.20", "00:00:00:00:00:20")

    async def asked(own: str) -> tuple[ArpAnswer, ...]:
        return await NetworkProber("eth1", own, secrets.randbits).probe(
            ["10.77.0.20"], within_s=0.4
        )

    async def main() -> None:
        assert len(await asked("10.77.0.1")) == 1
        assert len(await asked("192.168.23.1")) == 1, "observe: ours is another one"
        run_ip("-n", master, "address", "flush", "dev", "eth1")
        run_ip("-n", master, "address", "add", "10.99.0.1/24", "dev", "eth1")
        with pytest.raises(NetworkError, match="no address in the network of"):
            await asked("10.77.0.1")
        (problem,) = own_address_problems(SUBNET)
        assert problem.fatal
        add = ("address", "add", "10.77.0.9/24", "dev", "eth1", "label", "eth1:2")
        run_ip("-n", master, *add)
        assert len(await asked("10.77.0.1")) == 1
        assert own_address_problems(SUBNET) == ()

    lab.run(main)


def test_the_hardware_addresses_of_this_machine_are_known(lab: Lab) -> None:
    run_ip(
        "-n", lab.name(MASTER), "link", "set", "eth1", "address", "02:00:00:00:77:99"
    )

    async def main() -> frozenset[str]:
        return own_hardware_addresses()

    assert "02:00:00:00:77:99" in lab.run(main)
