"""The agent comes over real SSH to boards with real sudo, pip and users, and speaks."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pirack.deploy_targets import JOURNAL
from pirack.rack_config import UP_FILE, read_access
from provisioning.deploy.report import Trouble
from provisioning.journal import SqliteJournal
from provisioning.run.plan import Place
from tests.system.deploy import alone
from tests.system.deploy.conftest import MakePi, typed
from tests.system.deploy.pi import Pi
from tests.system.up.process import environment, wait_until

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(180)]


class Deploy:
    """Runs ``pirack deploy`` on one rack."""

    def __init__(self, rack: Path, *options: str | Path) -> None:
        self._rack = rack
        self._options = [str(one) for one in options]

    def __call__(self, *words: str, code: int = 0) -> str:
        done = typed("deploy", *words, *self._options, data=self._rack)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        own = ("-m", "pirack.cli", "deploy", "--data", str(self._rack))
        return subprocess.Popen(
            [sys.executable, *own, *self._options, *words],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )


def until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert any(word in line for line in process.stdout), f"it never said {word}"


@pytest.fixture(scope="module")
def deploy(rack: Path, wheel: Path, wheelhouse: Path) -> Deploy:
    return Deploy(rack, "--wheel", wheel, "--wheelhouse", wheelhouse)


@pytest.fixture(scope="module")
def boards(deploy: Deploy, make_pi: MakePi) -> tuple[Pi, Pi, str]:
    """Two boards that got their agents, and what was said of it."""
    one, two = make_pi(), make_pi()
    return one, two, deploy(one.where, two.where)


def test_two_boards_get_their_agents_at_the_same_time(
    rack: Path, boards: tuple[Pi, Pi, str]
) -> None:
    one, two, said = boards
    assert "2 boards: 2 installed" in said
    for pi in (one, two):
        # Each began before the first was done.
        assert said.index(f"installing  {pi.node}") < said.index("done in")

    def online() -> bool:
        listed = typed("node", "list", data=rack).stdout.splitlines()
        return {one.node, two.node} <= {
            line.split()[0] for line in listed if "online" in line
        }

    wait_until(online)  # so the master says, a moment after it was heard


def test_the_password_is_where_it_belongs_and_nowhere_else(
    boards: tuple[Pi, Pi, str],
) -> None:
    pi, _, said = boards
    where = "/etc/pirack/credentials.json"
    assert pi.run(f"stat -c '%a %U' {where}").split() == ["600", "pirack"]
    password = json.loads(pi.run(f"cat {where}"))["password"]
    assert password not in said
    places = "/etc/pirack /etc/systemd /opt/pirack /tmp /run /home /var/log/*.log"
    assert pi.run(f"grep -rlF -e '{password}' {places}").split() == [where]
    assert pi.run("ls -A /tmp") == ""


def test_a_second_run_changes_nothing_and_restarts_nothing(
    deploy: Deploy, boards: tuple[Pi, Pi, str]
) -> None:
    pi, _, _ = boards
    pi.run("echo '# mine' >>/etc/pirack/pirack.toml; sleep 0.02; touch /run/before")
    assert "1 board: 1 had it already" in deploy(pi.where)
    assert pi.run("find /etc /opt/pirack -newer /run/before -type f") == ""
    assert pi.restarts() == 1
    assert "# mine" in pi.run("cat /etc/pirack/pirack.toml")


def test_a_board_of_an_install_run_gets_the_name_and_place_of_its_slot(
    deploy: Deploy, rack: Path, boards: tuple[Pi, Pi, str]
) -> None:
    pi, _, _ = boards
    slot = Place(
        stack=2,
        slot=1,
        address=pi.address,
        name="s02n1",
        mac=pi.run("sort /sys/class/net/*/address | tail -n 1").strip(),
        serial=pi.node.removeprefix("pi-"),
    )
    folder = read_access(rack / UP_FILE).install_directory()
    journal = SqliteJournal(folder / JOURNAL)
    journal.open()
    asyncio.run(journal.keep((slot,)))
    journal.close()
    said = deploy("--stack", "2", "--ssh-port", str(pi.port))
    assert "s02n1            unchanged" in said
    assert "note:" not in said
    assert f"{pi.node:<14} s02n1" in typed("node", "list", data=rack).stdout


def test_a_changed_host_key_is_refused_until_it_is_forgotten(
    deploy: Deploy, boards: tuple[Pi, Pi, str]
) -> None:
    _, pi, _ = boards
    file = "/etc/ssh/ssh_host_ed25519_key"
    pi.run(f"rm {file}* && ssh-keygen -q -t ed25519 -N '' -f {file} && kill -HUP 1")
    said = deploy(pi.where, "--dry-run", code=1)
    assert "host-key-changed" in said
    assert f"pirack deploy --forget-key [{pi.address}]:{pi.port}" in said
    assert "is forgotten" in deploy("--forget-key", pi.where)
    assert "1 board: 1 ready" in deploy(pi.where, "--dry-run")


async def test_an_agent_that_cannot_speak_says_why_in_its_journal(
    rack: Path, boards: tuple[Pi, Pi, str], wheel: Path, tmp_path: Path
) -> None:
    pi, _, _ = boards
    key = read_access(rack / UP_FILE).install_directory()
    told = ""
    while "ca.crt: cannot be used" not in told:  # on a busy machine it dies later
        report = await alone.deploy(pi, tmp_path, wheel, key=key)
        assert report.trouble is Trouble.SILENT
        told = report.text
    assert "did not speak within 1 s; its journal: " in told


@pytest.mark.long
def test_who_kills_it_midway_runs_it_again(deploy: Deploy, make_pi: MakePi) -> None:
    pi = make_pi()
    with deploy.start(pi.where) as process:
        until(process, "installing")
        process.send_signal(signal.SIGKILL)
    # The board goes on alone; the second one waits for it and finds all done, or,
    # where the first broke off before it had begun, does it.
    assert "1 board: 1 " in deploy(pi.where)
    assert pi.restarts() == 1


@pytest.mark.long
def test_a_board_that_loses_power_midway_is_installed_by_the_second_attempt(
    deploy: Deploy, make_pi: MakePi
) -> None:
    pi = make_pi()
    with deploy.start(pi.where) as process:
        until(process, "installing")
        while "site-packages" not in pi.run("find /opt/pirack -maxdepth 3 || true"):
            pass
        pi.off()
        until(process, "again: connection-lost")
        pi.on()
        until(process, "1 board: 1 installed")
    assert pi.restarts() == 1


def test_a_board_that_was_forgotten_is_in_the_rack_again_when_it_is_installed(
    deploy: Deploy, rack: Path, boards: tuple[Pi, Pi, str]
) -> None:
    _, pi, _ = boards
    forgotten = typed("node", "forget", pi.node, data=rack)
    assert forgotten.returncode == 0, forgotten.stderr
    assert "1 board: 1 installed" in deploy(pi.where)
    _until_online(pi, rack)
    # Only the master forgot it: its password is as before, and its agent connected.
    assert typed("send", pi.node, "forget", data=rack).returncode == 0
    assert "1 board: 1 had it already" in deploy(pi.where)
    _until_online(pi, rack)


def _until_online(pi: Pi, rack: Path) -> None:
    def online() -> bool:
        listed = typed("node", "list", data=rack).stdout.splitlines()
        return any(pi.node in line and "online" in line for line in listed)

    wait_until(online)
