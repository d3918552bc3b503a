"""Checks of ``[install]``: may boards be heard here, and given addresses?

The network first, for without it nothing else matters; then who serves on it.
"""

import asyncio
import functools
import json
import os
import pwd
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import msgspec

from broker.common.config import load
from broker.common.errors import ConfigError
from master_service.rack import layout
from master_service.rack import settings as master
from master_service.rack.layout import plans
from pirack.doctor.check_result import CheckResult, Severity, fail, ok, warn
from provisioning import settings as provisioning
from provisioning.backends import dhcpd, dnsmasq, files, kea
from provisioning.backends.checks import dhcp_servers
from provisioning.common.errors import BackendError, NetworkError
from provisioning.common.network import ForeignServer
from provisioning.common.subnet import Subnet
from provisioning.discovery.prober import NetworkProber
from provisioning.discovery.sources import open_dhcp_socket
from provisioning.effects import SEARCH_S
from provisioning.settings import BackendName, InstallSettings

MASTER_UNIT = "pirack-master.service"
OUR_UNIT = "pirack-dhcp.service"
RULES = "etc/polkit-1/rules.d/50-pirack-master.rules"
INSTALL = "from the checkout: sudo sh deploy/master/install"
PROGRAMS = {
    BackendName.DNSMASQ: ("dnsmasq", dnsmasq.PACKAGE),
    BackendName.DHCPD: ("dhcpd", dhcpd.PACKAGE),
    BackendName.KEA: ("kea-dhcp4", kea.PACKAGE),
}
IP_S = 5.0
_IFF_UP = 0x1


class InstallMachine(msgspec.Struct, frozen=True):
    """What is asked of a machine beside its files.

    Args:
        root: Where its files are, for a test.
        addresses: Returns an interface's IPv4 addresses with their prefixes.
        user_id: Returns the id of a user; None: there is none.
        listens: Opens a packet socket on an interface.
        servers: Returns the DHCP servers that answer and are not ours.
        program: Returns the path of a program of a package, or raises BackendError.
    """

    root: Path
    addresses: Callable[[str], tuple[str, ...]]
    user_id: Callable[[str], int | None]
    listens: Callable[[str], None]
    servers: Callable[[Subnet], tuple[ForeignServer, ...]]
    program: Callable[[str, str], str]

    def read(self, path: str) -> str:
        """Returns the text of a file; empty when there is none, or not for us."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def interfaces(self) -> tuple[str, ...]:
        """Returns the names of its network interfaces."""
        return tuple(sorted(one.name for one in self.root.glob("sys/class/net/*")))

    def flags(self, interface: str) -> int:
        """Returns the kernel's flags of an interface."""
        return int(self.read(f"sys/class/net/{interface}/flags") or "0", 16)

    def unit(self, name: str) -> dict[str, str] | None:
        """Returns the last value of each setting of a unit; None: it is not there."""
        text = self.read(f"etc/systemd/system/{name}")
        rows = (line.partition("=") for line in text.splitlines() if line[:1] != "#")
        found = {key: value for key, equals, value in rows if equals}
        return found or None


def here(search_s: float = SEARCH_S) -> InstallMachine:
    """Returns this machine.

    Args:
        search_s: How long to wait for answers of DHCP servers, seconds.
    """
    return InstallMachine(
        root=Path("/"),
        addresses=_addresses,
        user_id=_user_id,
        listens=_listens,
        servers=functools.partial(_servers, search_s),
        program=files.find,
    )


def _addresses(interface: str) -> tuple[str, ...]:
    command = ["ip", "-json", "-4", "address", "show", "dev", interface]
    try:
        done = subprocess.run(  # noqa: S603  # a name that `check` found to be one
            command, capture_output=True, timeout=IP_S, check=True
        )
        rows = json.loads(done.stdout or "[]")
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()
    return tuple(
        f"{one['local']}/{one['prefixlen']}"
        for row in rows
        for one in row.get("addr_info", ())
    )


def _user_id(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _listens(interface: str) -> None:
    open_dhcp_socket(interface).close()


def _servers(search_s: float, subnet: Subnet) -> tuple[ForeignServer, ...]:
    prober = NetworkProber(subnet.interface, str(subnet.own), secrets.randbits)
    try:
        return asyncio.run(prober.servers(within_s=search_s))
    except NetworkError:
        return ()  # the interface's own finding says why


def check(
    config: Path | None, machine: InstallMachine | None = None
) -> Iterator[CheckResult]:
    """Checks what an install run needs; where provisioning is off, nothing is said.

    Args:
        config: The file; None: built-in values, which have it off.
        machine: This one, unless a test says otherwise.
    """
    try:
        document = load(config)
        stacks = plans(layout.stacks(master.parse(document)))
    except ConfigError:
        return  # named by the check of the file
    try:
        settings = provisioning.read(document, stacks)
    except ConfigError as error:
        yield fail("install", str(error), "correct it in the file")
        return
    if settings.on and settings.backend is not BackendName.FAKE:
        yield from _checked(settings, machine or here())


def _checked(
    settings: InstallSettings, machine: InstallMachine
) -> Iterator[CheckResult]:
    link = _interface(settings, machine)
    yield link
    if link.level is Severity.FAIL:
        return
    serves = settings.backend is not BackendName.OBSERVE
    yield _address(settings, machine)
    if serves:
        yield _manager(settings, machine)
        yield _router(settings, machine)
    rights = _rights(settings, machine)
    yield rights
    yield _folder(settings, machine)
    if serves:
        yield _program(settings, machine)
        yield _unit(settings, machine)
        yield _port(settings, machine)
    if settings.netboot:
        yield _boot_files(settings, machine)
    if rights.level is not Severity.FAIL:
        yield _rivals(settings, machine)


def _interface(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
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


def _address(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
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


def _manager(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that no service of this machine asks for, or serves, addresses there."""
    subject, name = "install manager", settings.interface
    index = machine.read(f"sys/class/net/{name}/ifindex").strip()
    for trouble in (_network_manager(machine, index, name), _networkd(machine, index)):
        if trouble:
            advice = f"give it a fixed address: {_profile(settings)}"
            return warn(subject, f"{trouble} on {name}", advice)
    return ok(subject, f"nothing else asks for or serves addresses on {name}")


def _network_manager(machine: InstallMachine, index: str, name: str) -> str:
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


def _networkd(machine: InstallMachine, index: str) -> str:
    state = machine.read(f"run/systemd/netif/links/{index}")
    if not state or "ADMIN_STATE=unmanaged" in state:
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


def _router(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
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


def _rivals(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
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


def _rights(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that the master may hear packets: by its unit, else as this user."""
    subject, unit = "install rights", machine.unit(MASTER_UNIT)
    if unit is not None:
        needs = {
            "CAP_NET_RAW": unit.get("AmbientCapabilities", ""),
            "AF_PACKET": unit.get("RestrictAddressFamilies", "AF_PACKET"),
        }
        missing = [word for word, given in needs.items() if word not in given.split()]
        if missing and unit.get("User", "root") != "root":
            text = f"{MASTER_UNIT} lacks {' and '.join(missing)}: no board is heard"
            return fail(subject, text, INSTALL)
        return ok(subject, f"{MASTER_UNIT} may hear packets (CAP_NET_RAW)")
    try:
        machine.listens(settings.interface)
    except NetworkError as error:
        return fail(subject, str(error), "be root: use sudo")
    return ok(subject, "this user may hear packets (CAP_NET_RAW)")


def _folder(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that the master can write what it keeps."""
    subject, path = "install folder", settings.folder
    unit = machine.unit(MASTER_UNIT)
    if unit is None:
        near = next(one for one in (path, *path.parents) if _at(machine, one).exists())
        if os.access(_at(machine, near), os.W_OK | os.X_OK):
            return ok(subject, f"{path} can be written")
        advice = f"give yourself the right to write {near}, or set [install] data_dir"
        return fail(subject, f"{path} cannot be written by this user", advice)
    user = unit.get("User", "root")
    there = _at(machine, path)
    if not there.exists():
        return fail(subject, f"{path} is not there", INSTALL)
    if there.stat().st_uid == machine.user_id(user):
        return ok(subject, f"{path} is {user}'s")
    advice = f"sudo chown -R {user}: {path}; then {INSTALL}"
    return fail(subject, f"{path} is not {user}'s, as whom the master runs", advice)


def _program(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that the server's program is installed."""
    name, package = PROGRAMS[settings.backend]
    try:
        return ok(
            "install server", f"{settings.backend}: {machine.program(name, package)}"
        )
    except BackendError:
        advice = f"sudo apt-get install {package}"
        return fail("install server", f"{name} is not installed", advice)


def _unit(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks who runs the server: a unit, or the master itself."""
    subject, master = "install unit", machine.unit(MASTER_UNIT)
    if not settings.unit:
        if master is None or master.get("User", "root") == "root":
            return ok(subject, "the server is a child of the master")
        text = f"{master['User']}, as whom the master runs, may not open port 67"
        return fail(subject, text, f'set [install] unit = "{OUR_UNIT}"')
    found = machine.unit(settings.unit)
    if found is None:
        return fail(subject, f"{settings.unit} is not installed", INSTALL)
    if settings.unit == OUR_UNIT and str(settings.folder) not in found["ExecStart"]:
        text = f"{OUR_UNIT} reads another folder than [install] data_dir"
        advice = 'set data_dir = "/var/lib/pirack-install", or edit the unit'
        return fail(subject, text, advice)
    rules = _at(machine, RULES)
    if os.access(rules.parent, os.X_OK) and not rules.exists():
        text = f"polkit does not let the master restart {settings.unit}"
        return fail(subject, text, INSTALL)
    return ok(subject, f"{settings.unit} is installed")


def _boot_files(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that the folder of boot files is there, and for everybody."""
    subject, path = "install netboot", Path(settings.netboot)
    there = _at(machine, path)
    if not there.is_dir():
        advice = f"sudo mkdir -p {path}, or leave [install] netboot empty"
        return fail(subject, f"{path} is not there: dnsmasq would not start", advice)
    if there.stat().st_mode & 0o005 != 0o005:  # noqa: PLR2004  # read and enter
        text = f"{path} cannot be read by the DHCP server's user"
        return fail(subject, text, f"sudo chmod o+rx {path}")
    return ok(subject, f"{path} is served by TFTP, to everyone who asks")


def _port(settings: InstallSettings, machine: InstallMachine) -> CheckResult:
    """Checks that UDP port 67 is free or our own server's."""
    subject = "install port 67"
    servers = dhcp_servers(machine.root / "proc")
    ours = [pid for pid, line in servers if str(settings.folder) in line]
    others = [_named(pid, line) for pid, line in servers if pid not in ours]
    if not others:
        return ok(subject, "our server has it" if ours else "free")
    advice = (
        "see which: sudo ss -lunp sport = :67; Debian's own: sudo systemctl disable "
        "--now dnsmasq (or isc-dhcp-server, kea-dhcp4-server)"
    )
    named = ", ".join(others)
    if ours:
        return warn(subject, f"beside our server, {named} has it too", advice)
    return fail(subject, f"{named} has it, and our server is not there", advice)


def _named(pid: int, line: str) -> str:
    if not line:
        return "somebody whom only root sees"
    return f"{Path(line.split(maxsplit=1)[0]).name} (pid {pid})"


def _at(machine: InstallMachine, path: object) -> Path:
    return machine.root / str(path).lstrip("/")
