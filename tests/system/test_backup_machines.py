"""A rack goes from one machine to another, with the paths and users of docs/install.md.

Each machine is this one with folders of its own laid over ``/etc`` and ``/var/lib``, in
a mount namespace. systemd is not there: a program says what it would.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pirack.backup.restore import SYSTEMD
from pirack.init.rack_files import BROKER_CONFIG, DROP_IN, UNITS
from tests.deploy_files import DEPLOY

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]

LAID_OVER = """
set -e
mount -t tmpfs none "$ROOM"
for folder in etc var/lib; do
    mkdir -p "$ROOM/$folder/upper" "$ROOM/$folder/work"
    mount -t overlay none /$folder -o \
"lowerdir=/$folder,upperdir=$ROOM/$folder/upper,workdir=$ROOM/$folder/work"
done
mount -t tmpfs none /run
mkdir -p "$SYSTEMD" /run/programs
cat >/run/programs/systemctl <<'END'
#!/bin/sh
test "$1" = is-active || exit 0
shift
for unit; do grep "^$unit " /run/states | cut -d' ' -f2 | grep . || echo inactive; done
END
chmod 755 /run/programs/systemctl
touch /run/states
export PATH="/run/programs:$PATH"
pirack() { "$PYTHON" -m pirack.cli "$@"; }
"""
INSTALL = 'sh "$DEPLOY/master/install" >/dev/null 2>&1\n'
LIST = """
echo "=== files"
find /etc/pirack /var/lib/pirack* -printf '%u %g %m %p\\n' | sort -k4
"""
FIRST = f"""
{INSTALL}
pirack init --rack attic --name rack.home.arpa >/dev/null
echo '[commands]' >/etc/pirack/commands.ini
echo 'a lease' >/var/lib/pirack-install/dhcp/leases
install -d -m 700 -o pirack-master -g pirack-master /var/lib/pirack-powerd
echo '{{"stack-1": "on"}}' >/var/lib/pirack-powerd/pins.json
install -D -m 644 /etc/pirack/mosquitto.conf {BROKER_CONFIG}
echo "=== told of a copy"
pirack backup "$FILE" 2>&1
echo '# a bridge of my own' >>{BROKER_CONFIG}
echo "=== told of a change"
pirack backup "$FILE" --replace 2>&1
echo "=== numbers"
id -u pirack-master
rm -r /var/lib/pirack-powerd
{LIST}
"""
OTHER_NUMBERS = """
printf 'u pirack-test-%s -\\n' a b c | systemd-sysusers - 2>/dev/null
"""
SECOND = f"""
{OTHER_NUMBERS}
echo "=== no users"
pirack restore "$FILE" || true
{INSTALL}
mkdir /var/lib/pirack-powerd
echo 'of this machine' >/var/lib/pirack-powerd/pins.json
echo "=== running"
printf '%s\\n' >/run/states \\
    'pirack-master active' 'pirack-agent activating' 'mosquitto active'
pirack restore "$FILE" || true
echo "=== running with our Mosquitto"
install -D -m 644 "$DEPLOY/{DROP_IN}" "{UNITS / DROP_IN}"
pirack restore "$FILE" || true
ls -A /etc/pirack /var/lib/pirack* 2>&1 | grep -v ^ls || true
echo "=== restored"
: >/run/states
pirack restore "$FILE"
cat /var/lib/pirack-powerd/pins.json
rm -r /var/lib/pirack-powerd
{LIST}
echo "=== numbers"
id -u pirack-master
echo "=== who may"
as() {{
    user=$1
    shift
    setpriv --reuid "$user" --regid "$user" --groups "$user,pirack" "$@"
}}
as pirack-master cat /etc/pirack/secrets/master.json >/dev/null && echo master reads
as pirack-dashboard test -w /var/lib/pirack-dashboard/users.json && echo page writes
as pirack-dhcp test -w /var/lib/pirack-install/dhcp/leases && echo dhcp writes
as pirack-dashboard cat /etc/pirack/secrets/ca.key 2>/dev/null || echo page may not
echo "=== init"
pirack init --rack attic --name rack.home.arpa
"""


def machine(room: Path, script: str) -> dict[str, str]:
    """Run a script on a machine of its own; return what it said, by its headings."""
    room.mkdir()
    told = {
        "ROOM": str(room),
        "FILE": str(room.parent / "rack.pirack"),
        "DEPLOY": str(DEPLOY),
        "PYTHON": sys.executable,
        "SYSTEMD": str(SYSTEMD),
    }
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", LAID_OVER + script],
        env=os.environ | told,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "mount:" in done.stderr and "overlay" in done.stderr:
        pytest.skip(f"this kernel lays no folder over another: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = done.stdout.split("=== ")[1:]
    return {head: text for head, _, text in (part.partition("\n") for part in parts)}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if os.geteuid() != 0:
        pytest.skip("only root lays folders over others")
    for program in ("systemd-sysusers", "systemd-tmpfiles", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: scripts/test-packages")
    room = tmp_path_factory.mktemp("machines")
    first = machine(room / "first", FIRST)
    second = machine(room / "second", SECOND)
    assert first["numbers"] != second["numbers"], "else owners by number would do"
    return {**first, **second, "first": first["files"]}


def test_a_configuration_of_the_broker_that_was_changed_is_told(
    said: dict[str, str],
) -> None:
    assert "keep it yourself" not in said["told of a copy"]
    text = f"keep it yourself: {BROKER_CONFIG}, which is not a copy of /etc/pirack"
    assert text in said["told of a change"]


def test_users_that_are_not_there_are_named(said: dict[str, str]) -> None:
    assert (
        "users or groups that are not here: pirack, pirack-dashboard, pirack-dhcp, "
        "pirack-master; do: sudo sh "
    ) in said["no users"]
    assert "mosquitto" not in said["no users"], "it has that one"


def test_services_that_run_are_named_with_the_line_that_stops_them(
    said: dict[str, str],
) -> None:
    assert "sudo systemctl stop pirack-master pirack-agent\n" in said["running"]
    ours = said["running with our Mosquitto"]
    assert "sudo systemctl stop pirack-master pirack-agent mosquitto\n" in ours
    assert "pirack.toml" not in ours, "nothing was restored"


def test_every_file_belongs_to_the_user_of_the_same_name(said: dict[str, str]) -> None:
    assert said["files"] == said["first"]
    assert (
        "pirack-dhcp pirack-dhcp 644 /var/lib/pirack-install/dhcp/leases"
        in (said["files"])
    )
    assert said["who may"].splitlines() == [
        "master reads",
        "page writes",
        "dhcp writes",
        "page may not",
    ]


def test_the_levels_that_this_machine_holds_stay(said: dict[str, str]) -> None:
    assert "of this machine" in said["restored"]


def test_it_says_what_is_next_and_init_has_nothing_to_make(
    said: dict[str, str],
) -> None:
    assert "Agents look for the broker at rack.home.arpa:8883" in said["restored"]
    assert "sudo pirack init --rack attic --name rack.home.arpa" in said["restored"]
    assert said["init"].startswith("Everything was there already.")
    assert "Nodes of rack attic connect to rack.home.arpa:8883." in said["init"]
