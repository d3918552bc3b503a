"""The files dnsmasq reads; pure."""

import os
from pathlib import Path

import msgspec

from provisioning.reservation import Reservation
from provisioning.subnet import Subnet


class Netboot(msgspec.Struct, frozen=True):
    """Boot files for boards that boot over the network.

    Args:
        root: Folder TFTP serves. A board asks below its serial (``51000101/``), or its
            hardware address, as its boot EEPROM's ``TFTP_PREFIX`` says; a Pi 3 first
            asks for ``bootcode.bin`` in the folder itself.
    """

    root: Path


def configuration(subnet: Subnet, folder: Path, netboot: Netboot | None = None) -> str:
    """Return ``dnsmasq.conf``.

    Args:
        subnet: The network.
        folder: Where its other files are.
        netboot: Serve boot files too; None: do not.
    """
    dns = "".join(f",{address}" for address in subnet.dns)
    gateway = f",{subnet.gateway}" if subnet.gateway else ""
    pool = f"{subnet.pool_first},{subnet.pool_last}"
    lines = [
        "# Written by PiRack at every start; changes are lost.",
        "port=0",  # no DNS
        f"interface={subnet.interface}",
        "bind-interfaces",
        "except-interface=lo",
        "no-hosts",
        "no-resolv",
        *_user(),
        "pid-file=",
        "log-facility=-",
        "dhcp-authoritative",
        # Cards are cloned, and their client identifiers with them: without this three
        # boards got one address (measured).
        "dhcp-ignore-clid",
        # Its ping blocks the server for 3 s for each new board; we probe by ARP.
        "no-ping",
        f"dhcp-range={pool},{subnet.network.netmask},{subnet.pool_lease_s}s",
        f"dhcp-option=3{gateway}",
        f"dhcp-option=6{dns}",
        *(f"dhcp-option={one}" for one in _renewal(subnet, "!known")),
        f"dhcp-optsfile={folder}/options",
        f"dhcp-hostsdir={folder}/hosts.d",
        f"dhcp-leasefile={folder}/leases",
    ]
    if netboot is not None:
        lines += _netboot(netboot)
    return "\n".join(lines) + "\n"


def options(subnet: Subnet, *, brief: bool = False) -> str:
    """Return the file of options, which dnsmasq reads again after SIGHUP.

    Not as options of a tag that each board sets for itself: dnsmasq 2.90 hangs tags of
    its own behind one, on its stack, when it answers, and frees them when it reads the
    board's file again. It is dead then (measured; imp/dnsmasq#20).

    Args:
        subnet: The network.
        brief: Boards with a fixed address ask again as soon as those without.
    """
    lines = _renewal(subnet, "known") if brief else []
    return "".join(f"{line}\n" for line in lines)


def _renewal(subnet: Subnet, tag: str) -> list[str]:
    """Return how soon boards of a tag ask again.

    dhcpcd and systemd-networkd do not hear a NAK while they renew (T1): it is a
    broadcast, and their socket is bound to their address. They hear it while they
    rebind (T2), so both are short (measured).
    """
    times = ((58, subnet.renew_s), (59, subnet.rebind_s))
    return [f"tag:{tag},{option},{seconds}" for option, seconds in times]


def _user() -> list[str]:
    """Keep it root where we are: another user could not read our folder."""
    return ["user=root"] if os.geteuid() == 0 else []


def _netboot(netboot: Netboot) -> list[str]:
    return [
        "enable-tftp",
        f"tftp-root={netboot.root}",
        # Option 43: a Pi 3's boot ROM goes on only if it finds this very text, with
        # the three spaces at its end (boot-net.adoc).
        'pxe-service=0,"Raspberry Pi Boot   "',
    ]


def host_file(row: Reservation) -> str:
    """Return the name of a board's file."""
    return row.mac.replace(":", "-")


def host_line(row: Reservation, subnet: Subnet, *, brief: bool = False) -> str:
    """Return what a board's file says.

    Args:
        row: The board.
        subnet: The network.
        brief: Its lease is as short as that of a pool address.
    """
    lease_s = subnet.pool_lease_s if brief else subnet.lease_s
    return f"{row.mac},{row.address},{row.name},{lease_s}\n"
