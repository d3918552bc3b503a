"""The shipped units under a real systemd: what the services do, their units must allow.

One story on one machine: each test goes on where the one before it ended. In place of
an error, a call of the kernel that a unit forbids ends the service here: the master
lives on with some errors, and nobody would see them.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pirack import distribution
from tests.deploy_files import settings
from tests.system.units.machine import Machine, require

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(300)]

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"
"""The interpreter of an installed rack."""
RACK = ("pirack-master", "pirack-dashboard", "pirack-agent", "pirack-powerd")
OURS = (*RACK, "pirack-dhcp")
SERVICES = (*OURS, "mosquitto")
DEFAULT_STOP_S = "90"
"""systemd's own; where a unit takes that long, it is killed."""
NODE = "pi-000ab1e5"
"""The machine itself, by the serial that ``boot`` gives it."""

DROP_IN = """\
[Service]
SystemCallErrorNumber=kill
"""
PINS = "Environment=PIRACK_STAND_IN_PINS=/var/lib/pirack-powerd/pins.jsonl\n"
ASK_CLOCK = """\
from broker.common.kernel_clock import synced; \
exit(synced() is None and 'it may not ask whether the clock is set')\
"""
"""Fails where it may not: the service would go on, and believe that it is not set."""
CLOCK = f'ExecStartPre=/opt/pirack/bin/python -c "{ASK_CLOCK}"\n'
MORE = {"pirack-powerd": PINS, "pirack-master": CLOCK, "pirack-agent": CLOCK}

INSTALL = f"""
{PYTHON} -m venv --without-pip /opt/pirack
echo /opt/packages > "$(echo /opt/pirack/lib/python3*/site-packages)/packages.pth"
/opt/pirack/bin/python -m pip install --quiet --no-index --no-deps --ignore-installed \
    /opt/tests/pirack-*.whl
ln -s /opt/pirack/bin/pirack /usr/local/bin/pirack
install /opt/tests/outlet /opt/tests/board /usr/local/bin
sh /opt/pirack/lib/python3*/site-packages/pirack/deploy/master/install
rm -rf /etc/apt/sources.list* # nobody is asked for updates
printf '#!/bin/sh\\necho throttled=0x0\\n' | install /dev/stdin /usr/local/bin/vcgencmd
mkdir /srv/netboot
echo kernel=pi > /srv/netboot/config.txt
ip netns add board
"""
PLUG_IN = """
ip link add eth1 type veth peer name eth0 address b8:27:eb:00:00:01 netns board
ip -n board link set eth0 up
ip link set eth1 up
ip address add 192.168.23.1/24 dev eth1
"""
REPLUG = f"""
systemctl stop board
ip link delete eth1
sleep 1 # both services have seen that it is gone
{PLUG_IN}
ip netns exec board udhcpc -i eth0 --now --quit -t 10 -T 2 --script /bin/true 2>&1
"""
LOG_IN = """
import http.cookiejar, json, sys, time, urllib.error, urllib.parse, urllib.request
cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
door, page = urllib.request.build_opener(cookies), "http://127.0.0.1:8080"
end = time.monotonic() + 50
while True:
    try:
        door.open(f"{page}/healthz", timeout=10)
        break
    except urllib.error.URLError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)
fields = urllib.parse.urlencode({"name": "admin", "password": sys.argv[1]}).encode()
door.open(f"{page}/login", fields, timeout=30)
print(json.load(door.open(f"{page}/session", timeout=30)))
print(door.open(f"{page}/", timeout=30).read().decode())
"""
FETCH = """
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as board:
    board.settimeout(10)
    for attempt in range(200):
        try:
            board.sendto(b"\\0\\1config.txt\\0octet\\0", ("192.168.23.1", 69))
            break
        except OSError:  # it is between two addresses: it just moved
            time.sleep(0.1)
    print(board.recv(600))
"""
"""As a board without a card does: RFC 1350."""
REFUSED = re.compile(
    r"SIGSYS|31/SYS|seccomp|EPERM|EACCES|EROFS|Operation not permitted|Traceback|"
    r"Permission denied|Read-only file system|\[Errno (1|13|30)\]|Access denied|"
    r"authentication required|core-dump|Failed with result|Main process exited",
    re.IGNORECASE,
)


def packages(folder: Path) -> Path:
    """Returns a folder of what a rack needs, for the interpreter of this system."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([PYTHON, "-c", asked], text=True).strip()
    ours = Path(pytest.__file__).parents[1]
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return ours
    wheel = f"{next(folder.glob('pirack-*.whl'))}[rack]"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "pip", wheel)
    only = ("--only-binary=:all:", "--python-version", version)
    into = folder.parent / "packages"
    subprocess.run([*pip, *only, "--target", into], check=True, timeout=240)
    return into


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the wheel is installed, and nothing started."""
    require()
    folder = tmp_path_factory.mktemp("units")
    given = folder / "given"
    given.mkdir()
    name, wheel = distribution.build_wheel()
    (given / name).write_bytes(wheel)
    for one in ("board", "outlet"):
        path = given / one
        path.write_bytes((HERE / one).read_bytes())
        path.chmod(0o755)
    (folder / "machine").mkdir()
    made = Machine(folder / "machine", given, packages(given))
    try:
        made.start()
        made.paste(INSTALL + PLUG_IN)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def password(machine: Machine) -> str:
    """The page's login, after the rack was set up and its services were started."""
    said = machine.run("pirack", "init", "--name", "rack")
    drop_in(machine)
    toml = "/etc/pirack/pirack.toml"
    text = machine.run("cat", toml)
    text = re.sub(r"(?ms)^\[(rack|install)\]$.*?(?=^\[|\Z)", "", text)
    text = text.replace("[agent]\n", "[agent]\ninterval_s = 1\n")
    text += (HERE / "rack.toml").read_text()
    machine.paste(f"cat > {toml} <<'END'\n{text}\nEND")
    lines = re.findall(r"^  sudo (?!pirack node)(.*)$", said, re.MULTILINE)
    assert any("enable --now" in line for line in lines), said
    machine.run("systemd-run", "--unit=board", "board", "board")
    machine.paste("systemctl enable --now pirack-powerd; systemctl enable pirack-dhcp")
    machine.paste("\n".join(lines) + " || { journalctl --no-pager -n 200; exit 1; }")
    found = re.search(r"admin +(\S+)$", said, re.MULTILINE)
    assert found, said
    return found[1]


def drop_in(machine: Machine) -> None:
    for unit in OURS:
        folder = f"/etc/systemd/system/{unit}.service.d"
        text = DROP_IN + MORE.get(unit, "")
        machine.paste(f"mkdir -p {folder}; cat > {folder}/test.conf <<'END'\n{text}END")


def until(machine: Machine, wanted: str, *command: str) -> None:
    """Repeats a command until it says something."""
    deadline = time.monotonic() + 60
    while wanted not in (said := machine.paste(f"{' '.join(command)} 2>&1 || true")):
        assert time.monotonic() < deadline, f"{said}\n{journal(machine)}"
        time.sleep(0.2)


def journal(machine: Machine) -> str:
    return machine.run("journalctl", "--no-pager", "--output=short", "-n", "300")


@pytest.mark.usefixtures("password")
def test_every_service_starts(machine: Machine) -> None:
    until(machine, "1 of 1 done", f"pirack send {NODE} ping")
    for unit in SERVICES:
        until(machine, "=active", f"systemctl show {unit} --property=ActiveState")


def test_the_page_lets_its_owner_in(machine: Machine, password: str) -> None:
    said = machine.run(PYTHON, "-c", LOG_IN, password)
    assert "'signed_in': True" in said
    assert "pirack" in said.lower()


@pytest.mark.parametrize(
    "command",
    [
        "rack ping",
        f"{NODE} refresh",
        f"{NODE} disk",
        f"{NODE} throttled",
        f"{NODE} failed-units",
        f"{NODE} journal unit=pirack-agent lines=5",
        f"{NODE} update-lists",
        f"{NODE} update",
        "stack/1 power off --confirm stack/1",
        "stack/2 power off --confirm stack/2",
        "stack/2 power on",
    ],
)
def test_a_command_of_each_kind_is_done(machine: Machine, command: str) -> None:
    said = machine.run("pirack", "send", *command.split())
    assert "1 of 1 done" in said, said


def test_a_board_is_found_and_moves_to_its_address(machine: Machine) -> None:
    words = ("install", "start", "--stack", "1", "--plain")
    assert "192.168.23" in machine.run("pirack", *words, "--dry-run")
    said = machine.run("pirack", *words, "--yes", timeout_s=120)
    assert "1 of 1 boards" in said, f"{said}\n{journal(machine)}"
    assert "the DHCP server is away" not in said


def test_a_board_without_a_card_gets_its_boot_files(machine: Machine) -> None:
    fetch = ("ip", "netns", "exec", "board", PYTHON, "-c", FETCH)
    assert "kernel=pi" in machine.run(*fetch)


def test_an_adapter_that_was_unplugged_is_served_again(machine: Machine) -> None:
    assert "lease of 192.168.23" in machine.paste(REPLUG)


def test_a_silent_board_is_pinged(machine: Machine) -> None:
    machine.run("systemctl", "freeze", "pirack-agent")
    until(machine, "the board answers ping", "pirack watch --json --once")
    machine.run("systemctl", "thaw", "pirack-agent")
    until(machine, "1 of 1 done", f"pirack send {NODE} ping")


def test_history_and_backup_have_what_was_done(machine: Machine) -> None:
    events = machine.run("pirack", "events")
    assert "install run done: 1 of 1 boards placed" in events, events
    machine.run("pirack", "backup", "/run/rack.pirack")


def test_nothing_was_refused_and_nothing_was_started_twice(machine: Machine) -> None:
    lines = machine.run("journalctl", "--no-pager", "--output=short").splitlines()
    ours = [line for line in lines if "pirack" in line or "mosquitto" in line]
    assert ours
    assert [line for line in ours if REFUSED.search(line)] == []
    for unit in SERVICES:
        assert machine.property(unit, "NRestarts") == "0", journal(machine)
    assert machine.run("systemctl", "--failed", "--no-legend", "--plain") == ""


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_ends_within_its_time(machine: Machine, unit: str) -> None:
    limit_s = DEFAULT_STOP_S
    if unit in OURS:
        (limit_s,) = settings(f"{unit}.service").get("TimeoutStopSec", [limit_s])
    began = time.monotonic()
    machine.run("systemctl", "stop", unit, timeout_s=100)
    assert time.monotonic() - began < float(limit_s)
    assert machine.property(unit, "Result") == "success", journal(machine)
