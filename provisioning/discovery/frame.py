"""Ethernet, IPv4, UDP and ARP, as far as a rack needs them; pure. RFC 791, 768, 826."""

import struct
from ipaddress import IPv4Address

import msgspec

from provisioning.hardware import BROADCAST, mac_bytes, mac_text

ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
UDP = 17
ARP_REQUEST = 1
ARP_REPLY = 2

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_FRAGMENT = 0x1FFF


class Datagram(msgspec.Struct, frozen=True):
    """A UDP datagram with who sent it."""

    mac: str
    source: str
    source_port: int
    target: str
    target_port: int
    payload: bytes


class Arp(msgspec.Struct, frozen=True):
    """An ARP message: ``mac`` says it has ``address``, or asks who has ``target``."""

    operation: int
    mac: str
    address: str
    target: str


def decode_udp(frame: bytes) -> Datagram | None:
    """Return the datagram in a frame; None for what is none, or a fragment."""
    if len(frame) < _ETHERNET.size + _IPV4.size:
        return None
    _target, source_mac, ethertype = _ETHERNET.unpack_from(frame)
    fields = _IPV4.unpack_from(frame, _ETHERNET.size)
    header_bytes = (fields[0] & 0x0F) * 4
    start = _ETHERNET.size + header_bytes
    usable = len(frame) >= start + _UDP.size and not fields[4] & _FRAGMENT
    if ethertype != ETH_P_IP or fields[6] != UDP or not usable:
        return None
    source_port, target_port, length, _checksum = _UDP.unpack_from(frame, start)
    return Datagram(
        mac=mac_text(source_mac),
        source=str(IPv4Address(fields[8])),
        source_port=source_port,
        target=str(IPv4Address(fields[9])),
        target_port=target_port,
        payload=frame[start + _UDP.size : start + max(length, _UDP.size)],
    )


def encode_udp(datagram: Datagram, *, to: str = BROADCAST) -> bytes:
    """Return a frame; the UDP checksum is left out, as IPv4 allows.

    Args:
        datagram: What to send.
        to: Hardware address it goes to.
    """
    length = _UDP.size + len(datagram.payload)
    addresses = (
        IPv4Address(datagram.source).packed,
        IPv4Address(datagram.target).packed,
    )
    head = (0x45, 0, _IPV4.size + length, 0, 0, 64, UDP)
    checksum = _checksum(_IPV4.pack(*head, 0, *addresses))
    return (
        _ETHERNET.pack(mac_bytes(to), mac_bytes(datagram.mac), ETH_P_IP)
        + _IPV4.pack(*head, checksum, *addresses)
        + _UDP.pack(datagram.source_port, datagram.target_port, length, 0)
        + datagram.payload
    )


def _checksum(header: bytes) -> int:
    """Return the checksum of an IPv4 header (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def decode_arp(frame: bytes) -> Arp | None:
    """Return the ARP message in a frame; None for what is none."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    if _ETHERNET.unpack_from(frame)[2] != ETH_P_ARP:
        return None
    kind, protocol, _hlen, _plen, operation, mac, address, _mac, target = (
        _ARP.unpack_from(frame, _ETHERNET.size)
    )
    if (kind, protocol) != (1, ETH_P_IP):
        return None
    return Arp(
        operation, mac_text(mac), str(IPv4Address(address)), str(IPv4Address(target))
    )


def encode_question(mac: str, sender: str, address: str) -> bytes:
    """Return an ordinary ARP request: who has an address?

    A client that checks whether its new address is free takes a question without a
    sender's address (an ARP probe) for a conflict, and declines (RFC 5227, 2.1.1).

    Args:
        mac: Who asks.
        sender: The asker's own address; never ``0.0.0.0``.
        address: What is asked for.
    """
    return _ETHERNET.pack(mac_bytes(BROADCAST), mac_bytes(mac), ETH_P_ARP) + _ARP.pack(
        1,
        ETH_P_IP,
        6,
        4,
        ARP_REQUEST,
        mac_bytes(mac),
        IPv4Address(sender).packed,
        bytes(6),
        IPv4Address(address).packed,
    )
