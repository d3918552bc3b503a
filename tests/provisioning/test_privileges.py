"""What the services of the master's Pi may do: no less than they need, and no more."""

import re
from pathlib import Path

import pytest

from pirack.init.rack_files import DHCP_UNIT
from tests.deploy_files import DEPLOY, settings, text

SERVICES = {
    "pirack-agent.service": "pirack",
    "pirack-master.service": "pirack-master",
    "pirack-dashboard.service": "pirack-dashboard",
    DHCP_UNIT: "pirack-dhcp",
}
USERS = text("sysusers.d/pirack.conf") + text("master/sysusers.d/pirack-master.conf")
FOLDERS = text("master/tmpfiles.d/pirack-master.conf")
DHCP = Path("/var/lib/pirack-install/dhcp")
RULES = text("master/polkit/50-pirack-master.rules")


@pytest.mark.parametrize(("unit", "user"), SERVICES.items())
def test_each_service_is_a_user_of_its_own_without_a_way_to_more(
    unit: str, user: str
) -> None:
    found = settings(unit)
    assert found["User"] == [user]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    line = next(line for line in USERS.splitlines() if line.startswith(f"u {user} "))
    assert line.endswith("/usr/sbin/nologin")


@pytest.mark.parametrize(
    ("unit", "capabilities"),
    [
        ("pirack-agent.service", ""),
        ("pirack-master.service", "CAP_NET_RAW"),
        ("pirack-dashboard.service", ""),
        ("pirack-powerd.service", ""),
        (DHCP_UNIT, "CAP_NET_BIND_SERVICE CAP_NET_ADMIN CAP_NET_RAW"),
    ],
)
def test_no_service_has_a_capability_it_does_not_use(
    unit: str, capabilities: str
) -> None:
    found = settings(unit)
    assert found["CapabilityBoundingSet"] == [capabilities]
    assert found.get("AmbientCapabilities", [""]) == [capabilities]


def test_only_who_switches_relays_is_in_the_group_of_the_pins() -> None:
    units = [one.name for one in DEPLOY.glob("*.service")]
    groups = {one: settings(one).get("SupplementaryGroups", [""])[0] for one in units}
    with_pins = {one for one, names in groups.items() if "gpio" in names.split()}
    assert with_pins == {"pirack-master.service", "pirack-powerd.service"}
    # Its socket is its user's: the page and the agent do not reach a relay by it.
    powerd = settings("pirack-powerd.service")
    assert powerd["User"] == powerd["Group"] == ["pirack-master"]
    assert "g gpio -" in USERS, "a unit with a group that is not there does not start"


def test_the_master_can_open_what_it_listens_on() -> None:
    master = settings("pirack-master.service")
    assert "AF_PACKET" in master["RestrictAddressFamilies"][0].split()
    assert "char-gpiochip rw" in master["DeviceAllow"]
    assert master["ReadWritePaths"] == [f"-{DHCP.parent}"]


def test_the_dhcp_unit_runs_the_back_ends_command_on_its_folder() -> None:
    unit = settings(DHCP_UNIT)
    words = f"/usr/sbin/dnsmasq --keep-in-foreground --conf-file={DHCP}/dnsmasq.conf"
    assert unit["ExecStart"] == [words]
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["ReadWritePaths"] == [str(DHCP)]
    assert f"ConditionPathExists={DHCP}/dnsmasq.conf" in text(DHCP_UNIT)
    assert unit["Restart"] == ["always"]


def test_the_dhcp_server_may_write_what_it_lent_and_nothing_else() -> None:
    assert f"f {DHCP}/leases 0644 pirack-dhcp pirack-dhcp" in FOLDERS
    others = [one for one in FOLDERS.splitlines() if one[0] == "d"]
    assert len(others) == 2
    assert all(line.endswith(" 0755 pirack-master pirack-master") for line in others)


def test_the_master_may_reload_and_restart_its_dhcp_server_and_nothing_else() -> None:
    assert 'subject.user !== "pirack-master"' in RULES
    assert re.findall(r'lookup\("unit"\) !== "([^"]+)"', RULES) == [DHCP_UNIT]
    assert re.findall(r'case "([^"]+)":', RULES) == ["reload", "restart"]
    assert not re.search(r"\b(let|const|=>|startsWith|includes)\b", RULES)
