"""A rack of ``pirack init`` is backed up and restored, below two prefixes."""

import asyncio
import grp
import hashlib
import os
import pwd
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from broker.common.service import EXIT_FAILED
from broker.contract.messages import InstallStep
from pirack.backup import archive
from pirack.backup.swap import Note, Swap
from pirack.init.rack_files import folders
from provisioning.journal import SqliteJournal
from tests.provisioning.test_journal import RUN, Clock

pytestmark = [
    pytest.mark.system,
    pytest.mark.mosquitto,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
]

OWNERS = {"": "daemon", "master-": "mail", "dashboard-": "news", "broker-": "games"}
"""Users that every Debian has, in the place of PiRack's own."""


class Machine:
    """A rack's folders below a prefix."""

    def __init__(self, room: Path) -> None:
        self.etc, self.state = room / "etc/pirack", room / "var/lib/pirack"
        for folder in (self.etc, self.state):
            folder.parent.mkdir(parents=True)

    @property
    def where(self) -> tuple[str, ...]:
        return ("--etc", str(self.etc), "--state", str(self.state))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pirack.cli", *words, *self.where],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def init(self, *words: str) -> str:
        owners = [
            word for of, name in OWNERS.items() for word in (f"--{of}owner", name)
        ]
        done = self.run("init", "--rack", "attic", *owners, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> dict[str, tuple[str, str, int, bytes]]:
        """Every file: its owner, group, mode and content."""
        found = {}
        for top in (self.etc.parent, self.state.parent):
            for path in sorted(top.rglob("*")):
                status = path.lstat()
                found[str(path.relative_to(top.parent))] = (
                    pwd.getpwuid(status.st_uid).pw_name,
                    grp.getgrgid(status.st_gid).gr_name,
                    status.st_mode & 0o7777,
                    path.read_bytes() if path.is_file() else b"",
                )
        return found


@pytest.fixture
def first(tmp_path: Path) -> Machine:
    """A rack with an install run that was under way."""
    made = Machine(tmp_path / "first")
    made.init("--name", "rack.home.arpa")
    dhcp = made.state.with_name("pirack-install") / "dhcp"
    dhcp.mkdir(parents=True)
    (dhcp / "leases").write_text("1 dc:a6:32:01:02:03 192.168.23.21 s01n1 *\n")
    os.chown(dhcp / "leases", pwd.getpwnam("lp").pw_uid, -1)
    (made.etc / "commands.ini").write_text("[commands]\n")
    journal = SqliteJournal(dhcp.parent / "install.sqlite", Clock())
    journal.open()
    asyncio.run(journal.save(RUN))
    journal.close()
    return made


@pytest.fixture
def second(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "second")


@pytest.fixture
def file(first: Machine, tmp_path: Path) -> str:
    done = first.run("backup", str(tmp_path / "rack.pirack"))
    assert done.returncode == 0, done.stderr
    return str(tmp_path / "rack.pirack")


def test_every_file_comes_back_with_its_owner_and_mode(
    first: Machine, second: Machine, file: str
) -> None:
    before = first.files()
    done = second.run("restore", file)
    assert done.returncode == 0, done.stdout + done.stderr
    after = second.files()
    journal = "lib/pirack-install/install.sqlite"
    assert {name: one[:3] for name, one in after.items()} == {
        name: one[:3] for name, one in before.items()
    }
    changed = {name for name in before if before[name][3] != after[name][3]}
    assert changed == {journal}
    assert after["lib/pirack-install/dhcp/leases"][0] == "lp"
    assert after["etc/pirack/secrets/ca.key"][:3] == ("root", "root", 0o600)
    assert after["etc/pirack/secrets/master.json"][0] == OWNERS["master-"]


def test_an_install_run_that_was_under_way_is_over_and_its_places_stay(
    second: Machine, file: str
) -> None:
    second.run("restore", file)
    folder = second.state.with_name("pirack-install")
    journal = SqliteJournal(folder / "install.sqlite", Clock())
    journal.open()
    run, places = journal.last(), journal.places()
    journal.close()
    assert run is not None
    assert (run.step, run.id) == (InstallStep.FAILED, RUN.id)
    assert "ended by the restore of a backup" in run.problems[-1]
    assert places == RUN.places


def test_init_finds_nothing_to_make_but_a_certificate_for_its_own_name(
    second: Machine, file: str
) -> None:
    said = second.run("restore", file).stdout
    assert "Agents look for the broker at rack.home.arpa:8883" in said
    assert "sudo pirack init --rack attic --name rack.home.arpa" in said
    first = second.init("--name", "rack.home.arpa")
    assert "made  " not in first.replace(f"made  {second.state}/tls/server.crt", "")
    assert "login" not in first
    assert second.init("--name", "rack.home.arpa").startswith("Everything was there")


def test_a_rack_that_is_there_stays_unless_it_is_asked_for_and_is_kept(
    second: Machine, file: str
) -> None:
    second.init()
    before = second.files()
    done = second.run("restore", file)
    assert done.returncode == 1
    assert "there is a rack here already" in done.stdout
    assert "--replace puts the backup in its place" in done.stdout
    assert second.files() == before
    tried = second.run("restore", file, "--replace", "--dry-run")
    assert "what is there is kept as pirack.before-<time>" in tried.stdout
    assert second.files() == before
    done = second.run("restore", file, "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    kept = re.findall(r"kept  (\S+)", done.stdout)
    assert len(kept) == 3, "etc, state and the page's"
    aside = {
        re.sub(r"\.before-[0-9TZ]+", "", name): one
        for name, one in second.files().items()
        if ".before-" in name
    }
    assert aside == {name: before[name] for name in aside}
    assert {
        name for name in before if name.startswith(("etc/pirack/s", "lib/pirack/"))
    } <= (aside.keys())


def test_a_folder_of_another_rack_that_the_backup_lacks_does_not_stay(
    second: Machine, file: str
) -> None:
    other = second.state.with_name("pirack-master")
    other.mkdir()
    (other / "master.db").write_text("of another rack")
    tried = second.run("restore", file, "--replace", "--dry-run")
    assert f"{other}: is not in the backup; what is there is kept" in tried.stdout
    done = second.run("restore", file, "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not other.exists()
    (kept,) = other.parent.glob("pirack-master.before-*/master.db")
    assert kept.read_text() == "of another rack"


def test_what_a_fresh_installation_makes_is_no_rack(second: Machine, file: str) -> None:
    for name in ("install/dhcp", "agent", "master"):
        second.state.with_name(f"pirack-{name.partition('/')[0]}").mkdir()
    (second.state.with_name("pirack-install") / "dhcp").mkdir()
    (second.state.with_name("pirack-install") / "dhcp/leases").touch()
    second.etc.mkdir()
    done = second.run("restore", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept" not in done.stdout
    assert not [name for name in second.files() if "before" in name]
    assert second.state.with_name("pirack-agent").is_dir(), "it was in no backup"


def begun(machine: Machine, file: str) -> None:
    """Restore as far as a power cut in the middle of the exchange lets it."""
    swap = Swap(folders(machine.etc, machine.state))
    with Path(file).open("rb") as packed:
        made = swap.unpack(packed)
    swap.hand_over(made, owners=True)
    digest = hashlib.sha256(msgspec.json.encode(made)).hexdigest()
    roles = tuple(filter(made.has, swap.folders))
    note = Note(archive=digest, words=made.words, stamp="2026", folders=roles)
    machine.state.with_name(".pirack-restore.json").write_bytes(
        msgspec.json.encode(note)
    )
    swap.staged("state").rename(machine.state)


def test_a_restore_that_was_interrupted_is_completed_by_the_next(
    first: Machine, second: Machine, file: str, tmp_path: Path
) -> None:
    begun(second, file)
    done = second.run("restore", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Restored: rack attic" in done.stdout
    assert {name: one[:3] for name, one in second.files().items()} == {
        name: one[:3] for name, one in first.files().items()
    }
    third = Machine(tmp_path / "third")
    begun(third, file)
    (first.etc / "commands.ini").write_text("newer")
    assert first.run("backup", str(tmp_path / "newer")).returncode == 0
    done = third.run("restore", str(tmp_path / "newer"))
    assert done.returncode == 1
    assert "of another file than this one; this one was not restored" in done.stderr
    assert (third.etc / "commands.ini").read_text() == "[commands]\n"
    again = third.run("restore", str(tmp_path / "newer"), "--replace")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (third.etc / "commands.ini").read_text() == "newer"


def ended(
    machine: Machine, signum: int, begun: Callable[[], bool], *words: str
) -> None:
    """Runs a command until it has begun, ends it by a signal, and waits."""
    command = [sys.executable, "-m", "pirack.cli", *words, *machine.where]
    with subprocess.Popen(command) as process:
        while not begun():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signum)
        assert process.wait(30) == EXIT_FAILED


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_no_secret_behind(
    first: Machine, second: Machine, tmp_path: Path, signum: int
) -> None:
    with (first.state / "large").open("wb") as large:
        large.truncate(1 << 28)
    room, file = tmp_path / "usb", tmp_path / "large.pirack"
    room.mkdir()
    ended(first, signum, lambda: any(room.iterdir()), "backup", str(room / "file"))
    assert list(room.iterdir()) == []
    assert first.run("backup", str(file)).returncode == 0
    staged = second.state.with_name("pirack.restoring")
    ended(second, signum, staged.exists, "restore", str(file))
    assert second.files() == {}


INTERRUPTED = """
import os, sys
from pirack import cli
syncs = [os.sync, lambda: os.kill(os.getpid(), 1)]
os.sync = lambda: syncs.pop(0)()  # the second one: all folders are exchanged
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_restore_that_is_ended_in_the_exchange_says_how_it_is_completed(
    second: Machine, file: str
) -> None:
    command = [sys.executable, "-c", INTERRUPTED, "restore", file, *second.where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_FAILED
    assert "in the middle: the same command completes it" in done.stderr
    again = second.run("restore", file)
    assert "Restored: rack attic" in again.stdout


def test_a_folder_that_cannot_be_exchanged_is_told_and_completed_later(
    first: Machine, second: Machine, file: str
) -> None:
    begun(second, file)
    in_the_way = second.etc
    in_the_way.mkdir()
    (in_the_way / "file").write_text("mine")
    script = (
        f"mount --bind {in_the_way} {in_the_way} && "
        f"exec {sys.executable} -m pirack.cli restore {file} {' '.join(second.where)}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "the same command completes it" in done.stderr, done.stderr
    assert second.run("restore", file).returncode == 0
    name = "etc/pirack/commands.ini"
    assert second.files()[name] == first.files()[name]


def test_a_program_that_uses_the_folders_is_named(second: Machine, file: str) -> None:
    folder = second.state.with_name("pirack-master")
    folder.mkdir()
    database = sqlite3.connect(folder / "master.db")
    database.execute("PRAGMA journal_mode = WAL")
    try:
        done = second.run("restore", file)
    finally:
        database.close()
    assert done.returncode == 1
    assert f"(process {os.getpid()}) uses {folder}/master.db; stop it" in done.stdout
    assert not second.etc.exists()


def test_a_user_that_is_not_there_is_named_with_the_way_to_have_it(
    first: Machine, second: Machine, tmp_path: Path
) -> None:
    nobody = tmp_path / "passwd"
    nobody.write_text(Path("/etc/passwd").read_text() + "stranger:x:9977:9977::/:/x\n")
    os.chown(first.etc / "commands.ini", 9977, -1)
    script = f"mount --bind {nobody} /etc/passwd && exec {sys.executable} -m pirack.cli"
    words = f"backup {tmp_path / 'f'} {' '.join(first.where)}"
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{script} {words}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    done = second.run("restore", str(tmp_path / "f"))
    assert done.returncode == 1
    assert "users or groups that are not here: stranger; do: sudo sh " in done.stdout
    assert not second.etc.exists()


def test_an_archive_that_was_tampered_with_changes_nothing(
    second: Machine, file: str
) -> None:
    whole = bytearray(Path(file).read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    Path(file).write_bytes(whole)
    done = second.run("restore", file)
    assert done.returncode == 1
    assert "Nothing was changed" in done.stderr
    assert second.files() == {}


def test_files_elsewhere_that_the_configuration_names_are_told(
    first: Machine, tmp_path: Path
) -> None:
    mine = tmp_path / "plugs.json"
    mine.write_text("{}")
    config = first.etc / "pirack.toml"
    config.write_text(
        config.read_text()
        + f'\n[power]\nplug_broker = {{ host = "h", credentials = "{mine}" }}\n'
    )
    done = first.run("backup", str(tmp_path / "g"))
    assert done.returncode == 0, done.stderr
    assert f"not in it, keep it yourself: {mine}, which {config}" in done.stderr


def test_a_configuration_that_is_a_link_is_told(first: Machine, tmp_path: Path) -> None:
    config, mine = first.etc / "pirack.toml", tmp_path / "mine.toml"
    config.rename(mine)
    config.symlink_to(mine)
    done = first.run("backup", str(tmp_path / "i"))
    assert done.returncode == 0, done.stderr
    words = f"not in it, keep it yourself: {config}, which is a link to {mine}"
    assert words in done.stderr


def test_a_configuration_that_cannot_be_read_is_kept_all_the_same(
    first: Machine, tmp_path: Path
) -> None:
    (first.etc / "pirack.toml").write_text("[rack\n")
    done = first.run("backup", str(tmp_path / "h"))
    assert done.returncode == 0, done.stderr
    assert "kept as it is, although it cannot be read" in done.stderr
    with (tmp_path / "h").open("rb") as out:
        names = {entry.name for entry in archive.check(out).files}
    assert "etc/pirack.toml" in names
