"""What the doctor says of finding and addressing boards, on trees of its own making."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pirack.doctor import install
from pirack.doctor.check_result import CheckResult, Severity
from pirack.doctor.install import InstallMachine
from provisioning.backends import files
from provisioning.common.errors import NetworkError
from provisioning.common.network import ForeignServer
from tests.deploy_files import text

ADDRESS = "192.168.23.1/24"
RIVAL = ForeignServer("192.168.23.9", "00:aa:bb:cc:dd:ee")
CONFIG = """
[rack]
stacks = 12
boards = 4
[install]
backend = "{backend}"
interface = "eth1"
data_dir = "/var/lib/pirack-install"
{more}
"""
FILES = {
    "sys/class/net/lo/flags": "0x9",
    "sys/class/net/eth0/flags": "0x1003",
    "sys/class/net/eth1/flags": "0x1003",
    "sys/class/net/eth1/carrier": "1",
    "sys/class/net/eth1/ifindex": "3",
    "proc/net/udp": "  sl  local_address rem_address\n",
    "proc/sys/net/ipv4/ip_forward": "0",
}


def put(root: Path, name: str, content: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make_machine(root: Path) -> InstallMachine:
    """Return a machine on which nothing is wrong and no unit is installed."""
    for name, content in FILES.items():
        put(root, name, content)
    (root / "var/lib/pirack-install").mkdir(parents=True)
    return InstallMachine(
        root=root,
        addresses=lambda _: (ADDRESS,),
        user_id=lambda _: os.geteuid(),
        listens=lambda _: None,
        servers=lambda _: (),
        program=lambda name, _: f"/usr/sbin/{name}",
    )


def with_units(machine: InstallMachine) -> InstallMachine:
    """Put what deploy/master installs."""
    for unit in ("pirack-master.service", "pirack-dhcp.service"):
        put(machine.root, f"etc/systemd/system/{unit}", text(unit))
    rules = "50-pirack-master.rules"
    put(machine.root, f"etc/polkit-1/rules.d/{rules}", text(f"master/polkit/{rules}"))
    return machine


Diagnosis = Callable[..., dict[str, CheckResult]]


@pytest.fixture
def machine(tmp_path: Path) -> InstallMachine:
    return make_machine(tmp_path / "root")


@pytest.fixture
def diagnose(tmp_path: Path, machine: InstallMachine) -> Diagnosis:
    """Check a configuration on a machine; findings by subject."""

    def check(
        on: InstallMachine = machine, *, backend: str = "dnsmasq", more: str = ""
    ) -> dict[str, CheckResult]:
        path = put(tmp_path, "pirack.toml", CONFIG.format(backend=backend, more=more))
        return {one.subject: one for one in install.check(path, on)}

    return check


UNIT = 'unit = "pirack-dhcp.service"'


def test_where_provisioning_is_off_nothing_is_said(diagnose: Diagnosis) -> None:
    assert diagnose(backend="none") == {}
    assert diagnose(backend="fake") == {}
    assert list(install.check(None)) == []


def test_addresses_that_contradict_each_other_are_named(diagnose: Diagnosis) -> None:
    found = diagnose(more='pool_last = "192.168.23.201"')
    assert found["install"].level is Severity.FAIL
    assert "at least 8" in found["install"].text


@pytest.mark.parametrize("more", ["", UNIT])
def test_a_machine_that_is_right_has_no_finding_but_good_ones(
    diagnose: Diagnosis, machine: InstallMachine, more: str
) -> None:
    found = diagnose(with_units(machine) if more else machine, more=more)
    assert {one.level for one in found.values()} == {Severity.OK}, found
    assert len(found) == 10


def test_an_interface_that_is_not_there_or_down_ends_the_checks(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    put(machine.root, "sys/class/net/eth1/flags", "0x1002")
    found = diagnose()
    assert (len(found), found["install interface"].level) == (1, Severity.FAIL)
    assert found["install interface"].advice == "sudo ip link set eth1 up"
    (machine.root / "sys/class/net/eth1").rename(machine.root / "sys/class/net/usb0")
    assert "this machine has eth0, usb0" in diagnose()["install interface"].text


def test_an_interface_without_a_link_warns(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    put(machine.root, "sys/class/net/eth1/carrier", "0")
    assert diagnose()["install interface"].level is Severity.WARN


def test_an_interface_with_another_address_says_how_to_give_it_this_one(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    other = msgspec.structs.replace(machine, addresses=lambda _: ("10.0.0.7/24",))
    found = diagnose(other)["install address"]
    assert found.level is Severity.FAIL
    assert "eth1 has 10.0.0.7/24, not 192.168.23.1/24" in found.text
    assert f"sudo ip address add {ADDRESS} dev eth1" in found.advice


PROFILE = "[connection]\nuuid=u-1\n[ipv4]\nmethod={}\n[ipv6]\nmethod=auto\n"


@pytest.mark.parametrize(
    ("method", "words"),
    [("auto", "asks for an address"), ("shared", "runs a DHCP server"), ("manual", "")],
)
def test_networkmanager_warns_unless_its_profile_is_a_fixed_address(
    diagnose: Diagnosis, machine: InstallMachine, method: str, words: str
) -> None:
    state = "[device]\nmanaged=true\nconnection-uuid=u-1\n"
    put(machine.root, "run/NetworkManager/devices/3", state)
    folder = "etc/NetworkManager/system-connections"
    put(machine.root, f"{folder}/eth1.nmconnection", PROFILE.format(method))
    found = diagnose()["install manager"]
    assert found.level is (Severity.WARN if words else Severity.OK)
    assert words in found.text
    assert not words or "ipv4.method manual" in found.advice


def test_a_profile_that_was_written_by_hand_without_a_uuid_is_found(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    state = "[device]\nmanaged=true\nconnection-uuid=made-up\n"
    put(machine.root, "run/NetworkManager/devices/3", state)
    text = "[connection]\ninterface-name=eth1\n[ipv4]\nmethod=manual\n"
    folder = "etc/NetworkManager/system-connections"
    put(machine.root, f"{folder}/rack.nmconnection", text)
    assert diagnose()["install manager"].level is Severity.OK


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("[Network]\nDHCP=yes\n", "asks for an address"),
        ("[Network]\nDHCPServer=yes\n", "runs a DHCP server"),
        (f"[Network]\nAddress={ADDRESS}\n", ""),
    ],
)
def test_networkd_warns_if_it_asks_for_or_serves_addresses(
    diagnose: Diagnosis, machine: InstallMachine, network: str, words: str
) -> None:
    state = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/x.network\n"
    put(machine.root, "run/systemd/netif/links/3", state)
    put(machine.root, "etc/systemd/network/x.network", network)
    found = diagnose()["install manager"]
    assert found.level is (Severity.WARN if words else Severity.OK)
    assert words in found.text


@pytest.mark.parametrize(
    ("gateway", "forwards", "level"),
    [
        ("192.168.23.1", "0", Severity.WARN),
        ("192.168.23.1", "1", Severity.OK),
        ("192.168.23.254", "0", Severity.OK),
        ("10.0.0.1", "0", Severity.FAIL),
        ("router", "0", Severity.FAIL),
    ],
)
def test_the_router_boards_are_told_can_be_reached_and_forwards(
    diagnose: Diagnosis,
    machine: InstallMachine,
    gateway: str,
    forwards: str,
    level: Severity,
) -> None:
    put(machine.root, "proc/sys/net/ipv4/ip_forward", forwards)
    assert diagnose(more=f'gateway = "{gateway}"')["install gateway"].level is level


def test_somebody_else_on_port_67_is_named_and_our_own_server_is_not(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    row = "  0: 00000000:0043 00000000:0000 07 0:0 00:00 00000000 0 0 {} 2\n"
    put(machine.root, "proc/net/udp", "head\n" + row.format(77))
    unseen = diagnose()["install port 67"]
    assert (unseen.level, "only root sees" in unseen.text) == (Severity.FAIL, True)
    process = machine.root / "proc/123"
    put(machine.root, "proc/123/cmdline", "/usr/sbin/dnsmasq\0-x\0/run/dnsmasq.pid\0")
    (process / "fd").mkdir()
    (process / "fd/4").symlink_to("socket:[77]")
    found = diagnose()["install port 67"]
    assert found.level is Severity.FAIL
    assert "dnsmasq (pid 123) has it" in found.text
    assert "systemctl disable --now dnsmasq" in found.advice
    ours = "dnsmasq\0--conf-file=/var/lib/pirack-install/dhcp/dnsmasq.conf\0"
    put(machine.root, "proc/123/cmdline", ours)
    assert diagnose()["install port 67"].text == "our server has it"


def test_a_program_that_is_missing_is_named_with_its_package(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    bare = msgspec.structs.replace(machine, program=files.find)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "FOLDERS", ())
        patch.setenv("PATH", "/nowhere")
        found = diagnose(bare, backend="kea")["install server"]
    assert (found.level, found.text) == (Severity.FAIL, "kea-dhcp4 is not installed")
    assert found.advice == "sudo apt-get install kea-dhcp4-server"


def test_without_the_right_to_hear_packets_it_says_so_and_asks_nobody(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    def refuse(interface: str) -> None:
        text = f"no right to listen on {interface}"
        raise NetworkError(text)

    found = diagnose(msgspec.structs.replace(machine, listens=refuse))
    assert found["install rights"].level is Severity.FAIL
    assert "other DHCP" not in found


@pytest.mark.parametrize("line", ["AmbientCapabilities=CAP_NET_RAW", " AF_PACKET"])
def test_a_unit_that_lost_a_right_is_named(
    diagnose: Diagnosis, machine: InstallMachine, line: str
) -> None:
    unit = text("pirack-master.service").replace(line, "")
    put(with_units(machine).root, "etc/systemd/system/pirack-master.service", unit)
    found = diagnose(more=UNIT)["install rights"]
    assert found.level is Severity.FAIL
    assert line.rsplit("=", maxsplit=1)[-1].strip() in found.text
    assert "deploy/master/install" in found.advice


def test_a_master_without_rights_needs_the_unit(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    found = diagnose(with_units(machine))["install unit"]
    assert found.level is Severity.FAIL
    assert "pirack-master, as whom the master runs, may not open port 67" in found.text
    assert UNIT in found.advice


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("etc/systemd/system/pirack-dhcp.service", "is not installed"),
        ("etc/polkit-1/rules.d/50-pirack-master.rules", "polkit does not let"),
    ],
)
def test_a_unit_or_rule_that_is_missing_is_named(
    diagnose: Diagnosis, machine: InstallMachine, missing: str, words: str
) -> None:
    (with_units(machine).root / missing).unlink()
    found = diagnose(more=UNIT)["install unit"]
    assert found.level is Severity.FAIL
    assert words in found.text


def test_a_unit_that_reads_another_folder_is_named(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    unit = text("pirack-dhcp.service").replace("/var/lib/pirack-install", "/srv")
    put(with_units(machine).root, "etc/systemd/system/pirack-dhcp.service", unit)
    assert "another folder" in diagnose(more=UNIT)["install unit"].text


def test_a_folder_that_is_another_users_is_named_with_its_way_out(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    stranger = msgspec.structs.replace(with_units(machine), user_id=lambda _: 4321)
    found = diagnose(stranger, more=UNIT)["install folder"]
    assert found.level is Severity.FAIL
    assert "sudo chown -R pirack-master: /var/lib/pirack-install" in found.advice
    (machine.root / "var/lib/pirack-install").rmdir()
    assert "is not there" in diagnose(stranger, more=UNIT)["install folder"].text


def test_boot_files_must_be_there_for_everybody(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    more = 'netboot = "/srv/tftp"'
    assert "dnsmasq would not start" in diagnose(more=more)["install netboot"].text
    folder = machine.root / "srv/tftp"
    folder.mkdir(parents=True, mode=0o750)
    assert "chmod o+rx" in diagnose(more=more)["install netboot"].advice
    folder.chmod(0o755)
    assert diagnose(more=more)["install netboot"].level is Severity.OK


def test_another_dhcp_server_fails_and_beside_it_is_what_observe_expects(
    diagnose: Diagnosis, machine: InstallMachine
) -> None:
    beside = msgspec.structs.replace(machine, servers=lambda _: (RIVAL,))
    found = diagnose(beside)["other DHCP"]
    assert found.level is Severity.FAIL
    assert "192.168.23.9 (00:aa:bb:cc:dd:ee) serves eth1 too" in found.text
    observed = diagnose(beside, backend="observe")
    assert observed["other DHCP"].level is Severity.OK
    assert "install port 67" not in observed
    assert diagnose(backend="observe")["other DHCP"].level is Severity.WARN
