"""The update program, with systemd, apt and dpkg played by small scripts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "systemctl": """
case "$*" in
"--no-ask-password start pirack-update.service")
    echo "$*" >> "$HERE/started"
    exit "$STARTS" ;;
"show --property=ExecMainStatus --value pirack-update.service") echo 100 ;;
"cat pirack-update.service") [ -n "$INSTALLED" ] ;;
*) exit 64 ;;
esac
""",
    "journalctl": 'echo "Setting up libssl3"; exec sleep 60',
    "dpkg-query": """
[ -e "$HERE/started" ] && echo "libssl3 3.0.15" || echo "libssl3 3.0.14"
""",
    "apt-get": '[ "$1" = --simulate ] && echo "$LEFT"; exit "$APT"',
    "sudo": 'echo "sudo: a password is required" >&2; exit 1',
}


class Machine:
    """A machine on which nothing is what it seems."""

    def __init__(self, directory: Path) -> None:
        self.here = directory
        for name, script in SCRIPTS.items():
            file = directory / name
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)

    def run(self, *words: str, **says: str) -> subprocess.CompletedProcess[str]:
        usual = {"STARTS": "0", "INSTALLED": "yes", "LEFT": "", "APT": "0"}
        return subprocess.run(
            [sys.executable, "-m", "node_agent.packages", *words],
            env={"PATH": f"{self.here}:{os.environ['PATH']}", "HERE": str(self.here)}
            | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
            | usual
            | says,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def started(self) -> bool:
        return (self.here / "started").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_update_shows_the_journal_and_reads_back_what_changed(
    machine: Machine,
) -> None:
    done = machine.run("upgrade")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Setting up libssl3",
        "libssl3 3.0.14 -> 3.0.15",
        "packages changed: 1; updates left: 0",
    ]


def test_an_update_that_leaves_updates_is_not_done(machine: Machine) -> None:
    done = machine.run("upgrade", LEFT="Inst vim [2:9.0] (2:9.1 Debian [arm64])")
    assert done.returncode == 1
    assert "updates left: 1: vim" in done.stdout
    assert done.stderr == "apt ended well, and left: vim\n"


def test_an_update_that_fails_ends_with_apts_exit_code(machine: Machine) -> None:
    done = machine.run("upgrade", STARTS="1")
    assert done.returncode == 100
    assert "packages changed" not in done.stdout


def test_an_update_whose_effect_cannot_be_read_back_is_not_done(
    machine: Machine,
) -> None:
    done = machine.run("upgrade", APT="1")
    assert done.returncode == 1
    assert done.stderr.startswith("apt-get: ")


def test_a_check_starts_nothing_and_says_what_is_missing(machine: Machine) -> None:
    assert machine.run("upgrade", "--check").returncode == 0
    missing = machine.run("upgrade", "--check", INSTALLED="")
    assert missing.returncode == 1
    assert (
        missing.stderr == "pirack-update.service is not installed; it is in deploy/\n"
    )
    assert not machine.started


def test_a_check_asks_sudo_where_sudo_is_used(machine: Machine) -> None:
    refused = machine.run("upgrade", "--sudo", "--check")
    assert refused.returncode == 1
    assert refused.stderr == "sudo: a password is required\n"


@pytest.mark.parametrize("unit", ["pirack-update", "pirack-update-lists"])
@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="Debian has apt")
def test_lists_that_cannot_be_fetched_are_a_failure_for_the_real_apt(
    tmp_path: Path, unit: str
) -> None:
    text = (ROOT / f"deploy/{unit}.service").read_text()
    (line,) = re.findall(r"^Exec.*?=(/usr/bin/apt-get .* update)$", text, re.MULTILINE)
    sources, state = tmp_path / "sources.list", tmp_path / "state"
    (state / "lists/partial").mkdir(parents=True)
    sources.write_text("deb http://127.0.0.1:1/debian bookworm main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State": state,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": tmp_path,
        "APT::Sandbox::User": "root",
        "Acquire::Retries": 0,
    }
    given = [f"--option={name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [*line.split(), *given],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 100, done.stdout + done.stderr
    assert "127.0.0.1" in done.stdout + done.stderr
