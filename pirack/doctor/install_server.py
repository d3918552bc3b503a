"""Checks of the DHCP server and of the rights it takes to run one."""

import os
from pathlib import Path

from pirack.doctor.finding import Finding, fail, ok, warn
from pirack.doctor.install_machine import Machine
from provisioning.backends import dhcpd, dnsmasq, kea
from provisioning.backends.checks import dhcp_servers
from provisioning.common.errors import BackendError, NetworkError
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


def rights(settings: InstallSettings, machine: Machine) -> Finding:
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


def folder(settings: InstallSettings, machine: Machine) -> Finding:
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


def program(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that the server's program is installed."""
    name, package = PROGRAMS[settings.backend]
    try:
        return ok(
            "install server", f"{settings.backend}: {machine.program(name, package)}"
        )
    except BackendError as error:
        text, _, advice = str(error).partition("; install it with: ")
        return fail("install server", text, advice)


def unit(settings: InstallSettings, machine: Machine) -> Finding:
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


def boot_files(settings: InstallSettings, machine: Machine) -> Finding:
    """Checks that the folder of boot files is there, and for everybody."""
    subject, path = "install netboot", Path(settings.netboot)
    there = _at(machine, path)
    if not there.is_dir():
        advice = f"sudo mkdir -p {path}, or leave [install] netboot empty"
        return fail(subject, f"{path} is not there: dnsmasq would not start", advice)
    if there.stat().st_mode & 0o005 != 0o005:  # noqa: PLR2004  # read and enter
        text = f"{path} cannot be read by the DHCP server's user"
        return fail(subject, text, f"sudo chmod o+rx {path}")
    return ok(subject, f"{path} is served by TFTP, to whoever asks")


def port(settings: InstallSettings, machine: Machine) -> Finding:
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


def _at(machine: Machine, path: object) -> Path:
    return machine.root / str(path).lstrip("/")
