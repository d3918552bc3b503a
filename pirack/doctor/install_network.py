"""Checks of the rack's network: the interface, our address, who else manages it."""

import re
from ipaddress import IPv4Address

from pirack.doctor.finding import Finding, fail, ok, warn
from pirack.doctor.install_machine import Machine
from provisioning.settings import BackendName, InstallSettings

_IFF_UP = 0x1
_UNMANAGED = "unmanaged"


def interface(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that the interface is there, up, and has a link."""
    subject, name = "install interface", settings.interface
    there = machine.interfaces()
    if name not in there:
        others = ", ".join(one for one in there if one != "lo")
        text = f"{name} is not there; this machine has {others or 'none'}"
        return fail(subject, text, "[install] interface: the one the rack hangs on")
    if not machine.flags(name) & _IFF_UP:
        return fail(subject, f"{name} is down", f"sudo ip link set {name} up")
    if machine.read(f"sys/class/net/{name}/carrier").strip() != "1":
        advice = "check cable and switch; boards are heard only with a link"
        return warn(subject, f"{name} is up and has no link", advice)
    return ok(subject, f"{name} is up and has a link")


def address(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that the interface has the address boards are told and asked from."""
    subject, name = "install address", settings.interface
    has = machine.addresses(name)
    if settings.address in has:
        return ok(subject, f"{name} has {settings.address}")
    text = f"{name} has {', '.join(has) or 'no IPv4 address'}, not {settings.address}"
    advice = (
        f"for good: {_profile(settings)}; until the next start: sudo ip address add "
        f"{settings.address} dev {name}; or correct [install] address"
    )
    return fail(subject, text, advice)


def manager(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that no service of this machine asks for, or serves, addresses there."""
    subject, name = "install manager", settings.interface
    index = machine.read(f"sys/class/net/{name}/ifindex").strip()
    for trouble in (_network_manager(machine, index, name), _networkd(machine, index)):
        if trouble:
            advice = f"give it a fixed address: {_profile(settings)}"
            return warn(subject, f"{trouble} on {name}", advice)
    return ok(subject, f"nothing else asks for or serves addresses on {name}")


def _network_manager(machine: Machine, index: str, name: str) -> str:
    state = machine.read(f"run/NetworkManager/devices/{index}")
    managed = re.search(r"^managed=(1|true)$", state, re.MULTILINE)
    uuid = re.search(r"^connection-uuid=(\S+)$", state, re.MULTILINE)
    if not managed or not uuid:
        return ""
    profiles = [
        machine.read(str(path.relative_to(machine.root)))
        for folder in ("etc", "run")
        for path in machine.root.glob(f"{folder}/NetworkManager/system-connections/*")
    ]
    # One that was written by hand may have no UUID: NetworkManager makes one up.
    for line in (f"uuid={uuid[1]}", f"interface-name={name}"):
        for text in profiles:
            if re.search(rf"^{re.escape(line)}$", text, re.MULTILINE):
                return _method(text.partition("[ipv4]")[2])
    return "NetworkManager has a profile that cannot be read"


def _method(ipv4: str) -> str:
    found = re.search(r"^method=(\S+)$", ipv4.partition("\n[")[0], re.MULTILINE)
    said = {
        "auto": "NetworkManager asks for an address (ipv4.method auto)",
        "shared": "NetworkManager runs a DHCP server (ipv4.method shared)",
    }
    return said.get(found[1] if found else "auto", "")


def _networkd(machine: Machine, index: str) -> str:
    state = machine.read(f"run/systemd/netif/links/{index}")
    if not state or f"ADMIN_STATE={_UNMANAGED}" in state:
        return ""
    file = re.search(r"^NETWORK_FILE=/(\S+)$", state, re.MULTILINE)
    text = machine.read(file[1]) if file else ""
    if re.search(r"^DHCPServer=(yes|true|1)$", text, re.MULTILINE):
        return "systemd-networkd runs a DHCP server (DHCPServer=)"
    if re.search(r"^DHCP=(yes|true|1|ipv4)$", text, re.MULTILINE):
        return "systemd-networkd asks for an address (DHCP=)"
    return ""


def _profile(settings: InstallSettings) -> str:
    return (
        f"sudo nmcli connection add type ethernet ifname {settings.interface} "
        f"con-name pirack ipv4.method manual ipv4.addresses {settings.address}"
    )


def router(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that the router boards are told of can be reached, and forwards."""
    subject, subnet = "install gateway", settings.subnet()
    if not settings.gateway:
        return ok(subject, "none is told: boards reach this network only, no packages")
    try:
        inside = IPv4Address(settings.gateway) in subnet.network
    except ValueError:
        inside = False
    if not inside:
        text = f"{settings.gateway} is not in {subnet.network}: no board reaches it"
        return fail(subject, text, "correct [install] gateway, or leave it empty")
    if settings.gateway != str(subnet.own):
        return ok(subject, f"boards are told {settings.gateway}")
    if machine.read("proc/sys/net/ipv4/ip_forward").strip() == "1":
        return ok(subject, f"boards are told this machine ({subnet.own}); it forwards")
    advice = (
        "sudo sysctl -w net.ipv4.ip_forward=1 (for good: a file in /etc/sysctl.d), "
        f"and masquerade {subnet.network}; or leave [install] gateway empty"
    )
    text = f"boards are told this machine ({subnet.own}), which does not forward"
    return warn(subject, text, advice)


def rivals(settings: InstallSettings, machine: Machine) -> Finding:
    """Asks for an address as an invented board, to see who else would give one."""
    subject, name = "other DHCP", settings.interface
    found = machine.servers(settings.subnet())
    named = ", ".join(f"{one.address} ({one.mac})" for one in found)
    if settings.backend is BackendName.OBSERVE:
        if found:
            return ok(subject, f"{named} serves {name}, as `observe` expects")
        advice = 'switch it on, or serve addresses here: [install] backend = "dnsmasq"'
        return warn(subject, f"no DHCP server answers on {name}", advice)
    if not found:
        return ok(subject, f"no other DHCP server answers on {name}")
    advice = 'switch it off; or leave addresses to it: [install] backend = "observe"'
    return fail(subject, f"{named} serves {name} too", advice)
