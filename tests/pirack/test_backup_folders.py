"""Which files a backup holds, and how restored folders take the place of others."""

import contextlib
import json
import os
import re
import socket
import sqlite3
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from pirack.backup import archive, backup
from pirack.backup.archive import DATA, RackFolders, RackKind
from pirack.backup.swap import Note, Swap
from pirack.init.rack_files import folders
from tests.deploy_files import DEPLOY, text

NOT_KEPT = {
    "/var/lib/pirack-powerd": "levels of this machine's pins",
    "/var/cache/pirack-agent": "byte code",
}


def names(source: RackFolders) -> set[str]:
    return {found.entry.name for found in backup.walk(source)}


def test_every_folder_that_the_installation_makes_is_kept_or_named() -> None:
    made = set()
    for path in DEPLOY.rglob("tmpfiles.d/*.conf"):
        made |= set(re.findall(r"^d (\S+)", path.read_text(), re.MULTILINE))
    for unit in DEPLOY.glob("*.service"):
        said = re.findall(r"^StateDirectory=(\S+)", text(unit.name), re.MULTILINE)
        made |= {f"/var/lib/{name}" for name in said}
    known = folders(Path("/etc/pirack"), Path("/var/lib/pirack")).values()
    inside = {one for one in made if any(map(Path(one).is_relative_to, known))}
    assert made - inside == set(NOT_KEPT), "keep it in a backup, or say why not"


def test_links_sockets_and_locks_are_left_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "racks/lab/master").mkdir(parents=True)
    (data / "racks/lab/master/outlets.lock").write_text("held")
    (data / "racks/lab/master/pins.json").write_text("{}")
    (data / "racks/lab/master/.a.json.0badcafe").write_text("half")
    (data / "racks/lab/master/kept.json").write_text("{}")
    (data / "lock").write_text("1")
    (data / "shadow").symlink_to("/etc/shadow")
    (data / "elsewhere").symlink_to("/etc", target_is_directory=True)
    (data / "client").mkdir()
    (data / "client/libcjson.so").symlink_to("libcjson.so.1")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(data / "socket"))
    os.mkfifo(data / "fifo")
    assert names(RackFolders(RackKind.UP, {DATA: data})) == {
        "data",
        "data/racks",
        "data/racks/lab",
        "data/racks/lab/master",
        "data/racks/lab/master/kept.json",
    }
    assert list(backup.links(RackFolders(RackKind.UP, {DATA: data}))) == [
        f"{data}/elsewhere, which is a link to /etc",
        f"{data}/shadow, which is a link to /etc/shadow",
    ]


def test_an_owners_own_files_are_kept_whatever_they_are_called(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "secrets").mkdir(parents=True)
    for name in ("commands.ini", "lock", "secrets/plugs.json", "x", "x-wal"):
        (etc / name).write_text("mine")
    source = RackFolders(RackKind.INSTALLED, {"etc": etc})
    assert names(source) >= {
        "etc/commands.ini",
        "etc/lock",
        "etc/secrets/plugs.json",
        "etc/x-wal",
    }


def test_a_database_is_copied_as_it_is_between_two_transactions(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t (x)")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("BEGIN")
    writer.execute("INSERT INTO t VALUES (2)")
    archive.copy_database(path, copy)
    writer.execute("COMMIT")
    with contextlib.closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "a.db",
        "a.db-shm",
        "a.db-wal",
        "copy",
    ]
    writer.close()


def test_a_database_nobody_has_open_is_copied_and_nothing_is_left_beside_it(
    tmp_path: Path,
) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "copy"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE t (x)")
    made.close()
    before = path.read_bytes()
    archive.copy_database(path, copy)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.db", "copy"]
    assert path.read_bytes() == before


def test_a_damaged_database_is_not_taken_for_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(archive.SQLITE + b"\xff" * 5000)
    with pytest.raises(archive.ArchiveError, match="cannot be copied"):
        archive.copy_database(path, tmp_path / "copy")


class Killed(BaseException):
    """The process is gone at this step."""


class Rack:
    """Two folders with old content, and an archive of new content for them."""

    def __init__(self, room: Path) -> None:
        self.folders = {"state": room / "var/pirack", "etc": room / "etc/pirack"}
        self.archive = room / "archive"
        self.fill("new")
        with self.archive.open("wb") as out:
            source = RackFolders(RackKind.INSTALLED, self.folders)
            archive.write(
                source,
                backup.walk(source),
                out,
                rack="lab",
                hostname="attic",
                room=room,
            )
        self.fill("old")
        self.swap = Swap(self.folders)

    def fill(self, what: str) -> None:
        for folder in self.folders.values():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "file").write_text(what)

    def note(self) -> Note:
        roles = tuple(self.folders)
        return Note(archive="x", words="a rack", stamp="2026", folders=roles)

    def restore(self) -> tuple[Path, ...]:
        """What `pirack restore` does, when it is run again too."""
        begun = self.swap.pending()
        if begun is None:
            self.swap.clear()
            with self.archive.open("rb") as file:
                made = self.swap.unpack(file)
            self.swap.hand_over(made, owners=False)
        return self.swap.exchange(begun or self.note())

    @property
    def said(self) -> set[str]:
        return {(one / "file").read_text() for one in self.folders.values()}


def test_what_was_there_is_kept_beside_it(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    kept = rack.restore()
    assert rack.said == {"new"}
    assert [(one / "file").read_text() for one in kept] == ["old", "old"]
    assert {one.name for one in kept} == {"pirack.before-2026"}
    assert sorted(one.name for one in (tmp_path / "var").iterdir()) == [
        "pirack",
        "pirack.before-2026",
    ]


def test_folders_without_anything_in_them_are_not_kept(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    for folder in rack.folders.values():
        (folder / "file").write_text("")
    assert rack.restore() == ()
    assert rack.said == {"new"}
    assert [one.name for one in (tmp_path / "var").iterdir()] == ["pirack"]


def test_a_damaged_file_that_waits_for_a_person_is_kept(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    for folder in rack.folders.values():
        (folder / "file").rename(folder / "users.broken")
    kept = rack.restore()
    assert rack.said == {"new"}
    assert [(one / "users.broken").read_text() for one in kept] == ["old", "old"]


STEPS = ("mkdir", "open", "rename", "chmod", "unlink", "fsync", "sync", "rmdir")


def run_until(rack: Rack, step: int, patched: pytest.MonkeyPatch) -> bool:
    """Restore, and die at a step; return whether it ended before."""
    count = 0

    def dies(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count >= step:
                raise Killed
            return real(*args, **options)

        patched.setattr(os, name, call)

    for name in STEPS:
        dies(name)
    try:
        rack.restore()
    except Killed:
        return False
    return True


def test_killed_at_any_step_the_old_rack_is_whole_or_the_next_run_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, step, untouched, begun = False, 0, 0, 0
    while not ended:
        step += 1
        rack = Rack(tmp_path / str(step))
        with monkeypatch.context() as patched:
            ended = run_until(rack, step, patched)
        if rack.swap.pending() is not None:
            begun += 1
        elif not ended:
            untouched += 1
            assert rack.said == {"old"}
        if not ended:
            rack.restore()
        assert rack.said == {"new"}
        kept = sorted((tmp_path / str(step)).rglob("pirack.before-*/file"))
        assert [one.read_text() for one in kept] == ["old", "old"]
        left = [one.name for one in (tmp_path / str(step) / "var").iterdir()]
        assert sorted(left) == ["pirack", "pirack.before-2026"]
    assert untouched > 5
    assert begun > 5


def test_a_note_of_another_user_moves_nothing(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    note = tmp_path / "var/.pirack-restore.json"
    note.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        rack.swap.pending()
    note.unlink()
    note.write_text(json.dumps({"folders": "x"}))
    with pytest.raises(ConfigError, match="cannot be read"):
        rack.swap.pending()
    if os.geteuid() == 0:
        os.chown(note, 12345, -1)
        with pytest.raises(ConfigError, match="another user"):
            rack.swap.pending()


def test_what_is_unpacked_goes_nowhere_through_a_link(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "var/pirack.restoring").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError, match="is in the way"):
        rack.swap.clear()
    with rack.archive.open("rb") as file, pytest.raises(FileExistsError):
        rack.swap.unpack(file)
    assert not list((tmp_path / "outside").iterdir())


def test_relays_that_a_file_stands_for_stay_as_they_are(tmp_path: Path) -> None:
    rack = Rack(tmp_path)
    (rack.folders["state"] / backup.STAYS).write_text("these relays")
    rack.restore()
    assert (rack.folders["state"] / backup.STAYS).read_text() == "these relays"
