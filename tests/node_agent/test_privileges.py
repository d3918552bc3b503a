"""What the shipped files allow is what the shipped commands need: no less, no more."""

import re
from collections.abc import Mapping

import pytest

from node_agent import actions, blink
from node_agent.actions import Actions, NodeAction
from node_agent.packages import UNITS, start_command
from tests.deploy_files import DEPLOY, settings, text

DIRECTORIES = text("tmpfiles.d/pirack.conf")
LOGIN = "org.freedesktop.login1."
MANAGE_UNITS = "org.freedesktop.systemd1.manage-units"
HARMLESS = {("systemctl", "--failed")}
"""What systemctl says to anybody."""
LOGIND = {
    "reboot": ("reboot", "reboot-multiple-sessions"),
    "poweroff": ("power-off", "power-off-multiple-sessions"),
}
"""What logind asks polkit for a verb of systemctl: alone, and with others logged in."""

IMPLIES_NO_NEW_PRIVILEGES = {
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "PrivateDevices",
    "ProtectClock",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "SystemCallArchitectures",
    "SystemCallFilter",
}
"""For a service that is not root's: systemd.exec(5), NoNewPrivileges=."""


def work_of(action: NodeAction) -> str:
    """The work of an alias that is our packages program; empty for another."""
    program = ("python3", "-m", "node_agent.packages")
    return action.words[3] if action.words[:3] == program else ""


def privileged(found: Actions) -> dict[str, tuple[str, ...]]:
    """What needs a privilege, by alias: the command that is asked for it."""
    asked: dict[str, tuple[str, ...]] = {}
    for action in found.values():
        work, words = work_of(action), action.words
        if work:
            asked[action.verb] = start_command(work, sudo="--sudo" in words)
        elif words[0] == "sudo" or (
            words[0] == "systemctl" and words[:2] not in HARMLESS
        ):
            asked[action.verb] = words
    return asked


def needed_of_polkit(commands: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The actions and units polkit is asked about."""
    needed = []
    for command in commands.values():
        assert command[:2] == ("systemctl", "--no-ask-password"), command
        verb, *rest = command[2:]
        if verb == "start":
            needed += [MANAGE_UNITS, *rest]
        else:
            needed += [LOGIN + name for name in LOGIND[verb]]
    return sorted(set(needed))


def test_each_privileged_alias_has_its_grant_in_polkit_and_no_grant_is_unused() -> None:
    commands = privileged(actions.load())
    assert set(commands) == {"reboot", "shutdown", "update", "update-lists"}
    granted = re.findall(r'case "([^"]+)":', text("polkit/50-pirack-agent.rules"))
    assert sorted(granted) == needed_of_polkit(commands)


def test_polkit_decides_for_the_agents_user_alone_and_only_about_start() -> None:
    rules = text("polkit/50-pirack-agent.rules")
    assert 'subject.user !== "pirack"' in rules
    assert 'action.lookup("verb") !== "start"' in rules
    assert not re.search(r"\b(let|const|=>|startsWith|includes)\b", rules)
    assert settings("pirack-agent.service")["User"] == ["pirack"]


def test_each_privileged_alias_has_one_line_in_sudoers_and_no_line_is_unused() -> None:
    commands = privileged(actions.load(DEPLOY / "sudo/commands.ini"))
    prefix = "pirack ALL=(root) NOPASSWD: /usr/bin/"
    lines = text("sudoers.d/pirack-agent").splitlines()
    granted = [line for line in lines if line and not line.startswith("#")]
    assert all(line.startswith(prefix) for line in granted)
    needed = [" ".join(command[2:]) for command in commands.values()]
    assert sorted(line.removeprefix(prefix) for line in granted) == sorted(needed)
    assert all(command[:2] == ("sudo", "-n") for command in commands.values())


def test_sudoers_grants_no_pattern_no_list_and_no_bare_program() -> None:
    for line in text("sudoers.d/pirack-agent").splitlines():
        if line and not line.startswith("#"):
            command = line.partition("NOPASSWD: ")[2]
            assert not re.search(r"[*?\[\]!,:=\\^$]", command), command
            assert len(command.split()) > 1, "without arguments, any are allowed"


def test_the_commands_for_sudo_replace_every_privileged_one_and_no_other() -> None:
    ours = actions.from_text(text("sudo/commands.ini"))
    assert set(ours) == set(privileged(actions.load()))


def test_the_drop_in_for_sudo_takes_back_all_that_would_stop_it_and_nothing_else() -> (
    None
):
    agent, drop_in = (
        settings("pirack-agent.service"),
        settings("sudo/pirack-agent.conf"),
    )
    stopping = IMPLIES_NO_NEW_PRIVILEGES & agent.keys()
    also = {"NoNewPrivileges", "CapabilityBoundingSet"}
    assert drop_in.keys() == stopping | also
    assert drop_in["NoNewPrivileges"] == ["no"]
    assert {value for values in drop_in.values() for value in values} == {"no", "", "~"}


def test_the_agent_runs_byte_code_that_root_wrote_and_it_cannot_change() -> None:
    agent = settings("pirack-agent.service")
    (kept,) = re.findall(r"^d (/var/cache/\S+) 0755 root root$", DIRECTORIES, re.M)
    (prepare,), (start,) = agent["ExecStartPre"], agent["ExecStart"]
    assert prepare.startswith("-!/bin/sh -c 'umask 022; "), "as root; may fail"
    options = f"-OO -X pycache_prefix={kept}"
    assert f"python {options} -m node_agent.byte_code'" in prepare
    assert f"python -B {options} /opt/pirack/bin/pirack-agent --config" in start
    assert agent["ReadWritePaths"] == [f"-{kept}"], "for root, in its confinement"
    assert agent["ProtectSystem"] == ["strict"]
    assert "CacheDirectory" not in agent, "it would give the folder to the agent"
    assert not [one for one in agent["Environment"] if "PYTHON" in one]


def test_the_agent_can_get_no_privilege_and_still_do_its_work() -> None:
    agent = settings("pirack-agent.service")
    assert agent["NoNewPrivileges"] == ["yes"]
    assert agent["CapabilityBoundingSet"] == [""]
    assert agent["Restart"] == ["always"], "restart-agent ends with exit code 0"
    assert "adjtimex" in agent["SystemCallFilter"][0], "whether the clock is set"
    assert "/dev/vcio rw" in agent["DeviceAllow"], "throttle bits"
    assert agent["SupplementaryGroups"] == ["video systemd-journal"]
    in_the_way = {"ProtectKernelTunables", "PrivateDevices", "ProtectClock"}
    assert not in_the_way & agent.keys(), "they forbid the light, vcgencmd, adjtimex"


@pytest.mark.parametrize("unit", UNITS.values())
def test_an_update_ends_before_its_alias_is_given_up(unit: str) -> None:
    work = next(work for work, name in UNITS.items() if name == unit)
    alias = next(one for one in actions.load().values() if work_of(one) == work)
    found = settings(unit)
    assert float(found["TimeoutStartSec"][0]) < alias.timeout_s
    assert found["Type"] == ["oneshot"]
    assert "WantedBy" not in found


def test_an_update_asks_nothing_keeps_files_and_removes_no_package() -> None:
    found = settings("pirack-update.service")
    (upgrade,) = found["ExecStart"]
    assert upgrade.endswith(" upgrade")
    assert {"--yes", "--with-new-pkgs"} <= set(upgrade.split())
    assert "--force-confold" in upgrade
    assert "DEBIAN_FRONTEND=noninteractive" in found["Environment"][0]


def test_the_light_of_the_agents_group_is_the_one_it_blinks_first() -> None:
    rule = text("udev/60-pirack-act-led.rules").splitlines()[-1]
    names = re.findall(r'KERNEL=="([^"]+)"', rule)[0].split("|")
    assert tuple(names) == blink.LEDS[: len(names)]
    for file in ("trigger", "brightness"):
        assert rule.count(f"/sys%p/{file}") == 2, "group and mode"
    assert "chgrp pirack" in rule


def test_the_user_and_the_directories_are_those_of_the_unit() -> None:
    (user,) = [
        line for line in text("sysusers.d/pirack.conf").splitlines() if line[0] == "u"
    ]
    assert user.split()[1] == "pirack"
    assert user.endswith("/usr/sbin/nologin")
    state = settings("pirack-agent.service")["StateDirectory"][0]
    assert f"d /var/lib/{state} 0700 pirack pirack" in DIRECTORIES


def test_ids_that_a_failed_card_cannot_hold_outlive_a_restart_of_the_agent() -> None:
    unit = settings("pirack-agent.service")
    assert unit["RuntimeDirectory"] == ["pirack-agent"]
    assert unit["RuntimeDirectoryPreserve"] == ["yes"]
