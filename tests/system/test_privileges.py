"""The shipped privileges as sudo, systemd and a real polkit understand them."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy_files import DEPLOY, text

pytestmark = pytest.mark.system

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
POLKITD = Path("/usr/lib/polkit-1/polkitd")
LOGIN = "org.freedesktop.login1"
UNITS = "org.freedesktop.systemd1.manage-units"
MOST_EXPOSED = {
    "pirack-agent": 30,
    "pirack-master": 30,
    "pirack-dashboard": 20,
    "pirack-dhcp": 25,
    "pirack-powerd": 15,
}
"""systemd's own figure for a service, tenths; 96 is a unit without any hardening."""


def program(name: str) -> str:
    found = shutil.which(name, path=SEARCH)
    if found is None:
        pytest.skip(f"{name} is not installed: scripts/test-packages")
    return found


def run(*command: str) -> str:
    """Run a program that must agree; return what it said."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_visudo_agrees_with_the_sudoers_file() -> None:
    file = str(DEPLOY / "sudoers.d/pirack-agent")
    assert "parsed OK" in run(program("visudo"), "--check", "--file", file)


@pytest.mark.parametrize("name", sorted(one.stem for one in DEPLOY.glob("*.service")))
def test_systemd_understands_every_line_of_the_units(name: str, tmp_path: Path) -> None:
    unit = text(f"{name}.service")
    # What it starts is not installed where tests run.
    there = re.sub(
        r"^ExecStart=/(opt|usr/sbin)/\S+", "ExecStart=/bin/true", unit, flags=re.M
    )
    file = tmp_path / f"{name}.service"
    file.write_text(there)
    assert run(program("systemd-analyze"), "verify", "--man=no", str(file)) == ""


def rated(unit: Path) -> str:
    """What systemd says about how confined a unit is."""
    command = ("security", "--offline=true", "--no-pager", str(unit))
    return run(program("systemd-analyze"), *command)


@pytest.mark.parametrize("name", MOST_EXPOSED)
def test_systemd_counts_each_service_among_the_well_confined(
    name: str, tmp_path: Path
) -> None:
    unit = tmp_path / f"{name}.service"
    unit.write_text(text(unit.name))
    said = rated(unit)
    assert "✓ NoNewPrivileges=" in said
    figure = re.search(r"exposure level .*: ([0-9.]+)", said)
    assert figure is not None, said
    assert float(figure[1]) * 10 <= MOST_EXPOSED[name], said


def test_sudo_takes_the_agents_confinement_away_where_it_must(tmp_path: Path) -> None:
    unit = tmp_path / "pirack-agent.service"
    unit.write_text(text(unit.name))
    drop_in = tmp_path / "pirack-agent.service.d"
    drop_in.mkdir()
    shutil.copy(DEPLOY / "sudo/pirack-agent.conf", drop_in)
    assert "✓ NoNewPrivileges=" not in rated(unit)


def test_the_user_and_its_directories_can_be_made(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes users and gives files away: sudo make test")
    (tmp_path / "etc").mkdir()
    users = str(DEPLOY / "sysusers.d/pirack.conf")
    run(program("systemd-sysusers"), f"--root={tmp_path}", users)
    directories = str(DEPLOY / "tmpfiles.d/pirack.conf")
    run(program("systemd-tmpfiles"), f"--root={tmp_path}", "--create", directories)
    user = (tmp_path / "etc/passwd").read_text().split(":")
    assert (user[0], user[-1].strip()) == ("pirack", "/usr/sbin/nologin")
    state, etc = tmp_path / "var/lib/pirack-agent", tmp_path / "etc/pirack"
    assert (state.stat().st_uid, state.stat().st_mode & 0o777) == (int(user[2]), 0o700)
    assert (etc.stat().st_uid, etc.stat().st_mode & 0o777) == (0, 0o750)
    byte_code = tmp_path / "var/cache/pirack-agent"
    assert (byte_code.stat().st_uid, byte_code.stat().st_mode & 0o777) == (0, 0o755)


def test_the_masters_pi_gets_users_folders_and_units(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes users and gives files away: sudo make test")
    (tmp_path / "etc").mkdir()
    for name in ("systemd-sysusers", "systemd-tmpfiles"):
        program(name)
    script = str(DEPLOY / "master/install")
    run("sh", script, str(tmp_path))
    run("sh", script, str(tmp_path))  # again is fine
    rows = (tmp_path / "etc/passwd").read_text().splitlines()
    users = {row.split(":")[0]: int(row.split(":")[2]) for row in rows}
    assert {"pirack", "pirack-master", "pirack-dashboard", "pirack-dhcp"} <= set(users)
    install = tmp_path / "var/lib/pirack-install"
    for path, user in (
        (install, "pirack-master"),
        (install / "dhcp", "pirack-master"),
        (install / "dhcp/leases", "pirack-dhcp"),
    ):
        assert path.stat().st_uid == users[user], path
    units = {one.name for one in (tmp_path / "etc/systemd/system").iterdir()}
    assert units == {one.name for one in DEPLOY.glob("*.service")}
    assert (tmp_path / "etc/polkit-1/rules.d/50-pirack-master.rules").exists()
    pins = (tmp_path / "etc/udev/rules.d/60-pirack-gpio.rules").read_text()
    groups = (tmp_path / "etc/group").read_text().splitlines()
    assert 'KERNEL=="gpiochip*", GROUP="gpio", MODE="0660"' in pins
    assert "gpio" in {row.partition(":")[0] for row in groups}
    assert "pirack gpio" in (DEPLOY / "pirack-powerd.service").read_text()


POLKIT_LAB = """
set -eu
mount -t tmpfs lab /etc/polkit-1/rules.d
for rules in "$DEPLOY"/polkit/*.rules "$DEPLOY"/master/polkit/*.rules; do
    install -m 0644 "$rules" /etc/polkit-1/rules.d/
done
chmod 0755 /etc/polkit-1/rules.d
cp /etc/passwd "$HERE/passwd"
echo 'pirack:x:9931:9931::/nonexistent:/usr/sbin/nologin' >> "$HERE/passwd"
echo 'pirack-master:x:9932:9932::/nonexistent:/usr/sbin/nologin' >> "$HERE/passwd"
mount --bind "$HERE/passwd" /etc/passwd
mount -t tmpfs lab /run
mkdir /run/dbus
dbus-daemon --config-file=/usr/share/dbus-1/system.conf --nopidfile --fork
"$POLKITD" --no-debug > "$HERE/polkitd.log" 2>&1 &
for _ in $(seq 300); do
    pkaction > /dev/null 2>&1 && break
    sleep 0.1
done
setpriv --reuid 9931 --regid 65534 --clear-groups sleep 60 &
pirack=$!
setpriv --reuid 9932 --regid 65534 --clear-groups sleep 60 &
master=$!
setpriv --reuid 65534 --regid 65534 --clear-groups sleep 60 &
nobody=$!
for one in "$pirack 9931" "$master 9932" "$nobody 65534"; do
    until [ "$(stat -c %u "/proc/${one% *}")" = "${one#* }" ]; do sleep 0.05; done
done
while read -r who action unit verb; do
    eval "process=\\$$who"
    set -- --process "$process" --action-id "$action"
    [ -z "$unit" ] || set -- "$@" --detail unit "$unit" --detail verb "$verb"
    pkcheck "$@" > /dev/null 2>&1 && answer=yes || answer=no
    echo "$answer $who $action $unit $verb"
done
"""
"""A polkit of its own, with our rules alone, in namespaces that take all of it away.

Answers a line ``who action [unit verb]`` with ``yes`` or ``no`` before it.
"""


def ask_polkit(questions: Mapping[str, str], here: Path) -> dict[str, str]:
    """Return polkit's answer to each question."""
    names = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    done = subprocess.run(
        [program("unshare"), *names, "--propagation=private", "sh", "-c", POLKIT_LAB],
        input="\n".join([*questions, ""]),
        env={"PATH": SEARCH, "DEPLOY": str(DEPLOY), "HERE": str(here)}
        | {"POLKITD": str(POLKITD)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pairs = (line.strip().split(" ", 1) for line in done.stdout.splitlines())
    return {question: answer for answer, question in pairs}


def test_polkit_lets_agent_and_master_do_what_they_must_and_nothing_else(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a polkit of our own needs namespaces, and root: sudo make test")
    for name in ("dbus-daemon", "pkcheck", "pkaction", "setpriv"):
        program(name)
    verbs = ("reboot", "power-off")
    granted = [
        f"{LOGIN}.{verb}{more}" for verb in verbs for more in ("", "-multiple-sessions")
    ]
    granted += [
        f"{UNITS} {unit} start"
        for unit in ("pirack-update.service", "pirack-update-lists.service")
    ]
    denied = [
        *(f"{LOGIN}.{verb}-ignore-inhibit" for verb in verbs),
        f"{LOGIN}.suspend",
        f"{UNITS} pirack-update.service stop",
        f"{UNITS} pirack-agent.service restart",
        f"{UNITS} ssh.service start",
        "org.freedesktop.systemd1.manage-unit-files",
        "org.freedesktop.policykit.exec",
    ]
    wanted = {f"pirack {one}": "yes" for one in granted}
    wanted |= {f"pirack {one}": "no" for one in denied}
    dhcp = [f"{UNITS} pirack-dhcp.service {verb}" for verb in ("reload", "restart")]
    wanted |= {f"master {one}": "yes" for one in dhcp}
    denied = [
        f"{UNITS} pirack-dhcp.service stop",
        f"{UNITS} pirack-dhcp.service start",
        f"{UNITS} dnsmasq.service restart",
        *granted,
        "org.freedesktop.systemd1.manage-unit-files",
    ]
    wanted |= {f"master {one}": "no" for one in denied}
    wanted |= {f"{who} {one}": "no" for who in ("pirack", "nobody") for one in dhcp}
    wanted |= {f"nobody {one}": "no" for one in granted}
    assert ask_polkit(wanted, tmp_path) == wanted
