"""A rack of ``pirack up`` goes into a file while it runs, and comes back elsewhere."""

import fnmatch
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import msgspec
import pytest

from broker.mosquitto.certificates import inspect
from master_service.power.simulated_pins import PinAction, PinCall
from pirack.backup import archive
from pirack.backup.archive import Manifest
from pirack.backup.backup import left_out
from tests.ports import free_port
from tests.system.up.process import NODES, Up, command, environment, wait_until
from tests.system.up.test_up_upgrade import STORED

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(180)]

RACK = "data/racks/lab-2x2"
KEPT = (
    "data/agent/node-id",
    "data/dashboard/session-secret",
    "data/dashboard/ended-sessions.json",
    "data/dashboard/users.json",
    "data/etc/agent.toml",
    f"{RACK}/broker/dynamic-security.json",
    f"{RACK}/install/install.sqlite",
    f"{RACK}/master/master.db",
    "data/secrets/*.json",
    "data/secrets/ca.key",
    "data/secrets/nodes/*.json",
    "data/tls/ca.crt",
    "data/tls/server.crt",
    "data/tls/server.key",
)
"""Every file that a rack keeps. One that is not here: is it whole at any moment it may
be copied, is it true on another machine? Then add it; else see backup/backup.py."""

OUTLETS = """
[[outlet]]
name = "stack-1"
driver = "gpiod"
stack = 1
pin = 5
active_low = true

[[outlet]]
name = "stack-2"
driver = "gpiod"
stack = 2
pin = 17
active_low = false
"""
STACK_1, STACK_2 = 5, 17

USER = 1234
"""Of no name here."""


class Relays:
    """Pins in a file, and what was done to them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def inside(self) -> tuple[str, ...]:
        return ("env", f"PIRACK_STAND_IN_PINS={self.path}")

    def stand(self, pin: int, *, high: bool) -> None:
        with self.path.open("ab") as file:
            file.write(
                msgspec.json.encode(PinCall(PinAction.OUTPUT, pin, high)) + b"\n"
            )

    def moves(self) -> list[PinCall]:
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        calls = [msgspec.json.decode(line, type=PinCall) for line in lines]
        harmless = {PinAction.LOOK, PinAction.READ, PinAction.RELEASE}
        return [call for call in calls if call.what not in harmless]


class First:
    """The rack that is backed up."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.config = room / "pirack.toml"
        self.config.write_text(OUTLETS)
        self.relays = Relays(room / "pins-1.jsonl")
        self.relays.stand(STACK_1, high=False)  # on: it is active low
        self.relays.stand(STACK_2, high=True)  # on
        self.file = room / "rack.pirack"
        self.door = free_port()
        self.up = self.start(room / "one", self.relays)
        self.cookies = httpx.Cookies()

    def start(self, data: Path, relays: Relays) -> Up:
        return Up(
            data,
            *("--http-port", str(free_port()), "--mqtt-port", str(free_port())),
            *("--config", str(self.config), "--listen", f"127.0.0.1:{self.door}"),
            inside=relays.inside,
        )

    def use(self) -> None:
        """Do what leaves something to be kept."""
        data = self.up.data
        for words in (
            ("send", "node/s02n1", "name", "attic"),
            ("send", "node/attic", "tag", "web", "db"),
            ("send", "stack/2", "power", "off", "--confirm", "stack/2"),
            ("send", "node/s02n2", "lock", "9h", "mine", "by=ann"),
            ("node", "add", "pi-0badcafe", "--name", "spare"),
        ):
            done = command(*words, data=data)
            assert done.returncode == 0, done.stdout + done.stderr
        run = self.up.run
        login = run["login"]
        form = {"name": login["username"], "password": login["password"]}
        with httpx.Client(base_url=run["url"]) as visitor:
            assert visitor.post("login", data=form).status_code == HTTPStatus.SEE_OTHER
            self.cookies.update(visitor.cookies)
        with httpx.Client(base_url=run["url"]) as other:
            other.post("login", data=form)
            other.post("logout")

    def written(self, stop: threading.Event) -> None:
        """Keeps the databases busy."""
        number = 0
        while not stop.is_set():
            number += 1
            command("send", "node/s01n1", "tag", f"t{number}", data=self.up.data)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    """A rack that was used, backed up while it is written, and stopped."""
    made = First(tmp_path_factory.mktemp("backup"))
    try:
        made.up.ready()
        made.use()
        yield made
    finally:
        made.up.stop()


def backup(first: First, *words: str) -> subprocess.CompletedProcess[str]:
    return command("backup", *words, data=first.up.data)


def names(folder: Path) -> list[str]:
    return sorted(
        f"data/{one.relative_to(folder)}"
        for one in folder.rglob("*")
        if one.is_file() or one.is_symlink() or one.is_socket()
    )


def test_every_file_of_a_rack_is_known_to_the_backup(first: First) -> None:
    unknown = []
    for name in names(first.up.data):
        beside = name.removesuffix("-wal").removesuffix("-shm")
        kept = any(fnmatch.fnmatchcase(beside, like) for like in KEPT)
        if not (kept or left_out(name)):
            unknown.append(name)
    assert not unknown, "see KEPT above"


def test_it_is_whole_and_secret_while_the_databases_are_written(first: First) -> None:
    stop = threading.Event()
    writers = [threading.Thread(target=first.written, args=(stop,)) for _ in "12"]
    for writer in writers:
        writer.start()
    try:
        done = [backup(first, str(first.room / f"busy-{n}")) for n in range(4)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    expected = [name for name in names(first.up.data) if not left_out(name)]
    expected = [name for name in expected if not name.endswith(("-wal", "-shm"))]
    for number, one in enumerate(done):
        assert one.returncode == 0, one.stderr
        assert "IT IS SECRET" in one.stderr
        assert f"{first.config}, which the rack was started with" in one.stderr
        path = first.room / f"busy-{number}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with path.open("rb") as file:
            made = archive.check(file)
        assert (made.rack, made.kind) == ("lab", "up")
        assert sorted(entry.name for entry in made.files) == expected
    assert [one.name for one in first.room.glob(".*")] == [], "something is left"


def test_a_file_that_is_there_is_not_written_over(first: First) -> None:
    there = first.room / "there"
    there.write_text("mine")
    done = backup(first, str(there))
    assert done.returncode == 3
    assert "--replace overwrites it" in done.stderr
    assert there.read_text() == "mine"
    inside = backup(first, str(first.up.data / "rack.pirack"))
    assert inside.returncode == 3
    assert "write it somewhere else" in inside.stderr


def test_it_goes_to_standard_output_and_nothing_else_does(first: First) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pirack.cli", "backup", "-"),
            *("--data", str(first.up.data)),
        ],
        capture_output=True,
        timeout=40,
        check=True,
    )
    path = first.room / "piped"
    path.write_bytes(done.stdout)
    with path.open("rb") as file:
        assert archive.check(file).rack == "lab"
    assert b"IT IS SECRET" in done.stderr


def test_a_full_disk_leaves_nothing_half(first: First) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    disk = first.room / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=40k none {disk} && "
        f"{sys.executable} -m pirack.cli backup {disk}/f --data {first.up.data}; "
        f"code=$?; ls -A {disk}; exit $code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "No space left on device" in done.stderr


def test_a_rack_that_runs_is_not_restored_over(first: First) -> None:
    backup(first, str(first.file), "--replace")
    done = command("restore", str(first.file), data=first.up.data)
    assert done.returncode == 1
    assert f"uses {first.up.data}; stop it" in done.stdout
    assert "there is a rack here already" in done.stdout
    assert "Nothing was changed" in done.stderr


@pytest.fixture(scope="module")
def second(first: First) -> Iterator[tuple[Up, Relays]]:
    """The rack in another directory, with relays that stand otherwise."""
    done = backup(first, str(first.file), "--replace")
    assert done.returncode == 0, done.stderr
    first.up.stop()
    relays = Relays(first.room / "pins-2.jsonl")
    relays.stand(STACK_1, high=True)  # off: it is active low
    relays.stand(STACK_2, high=True)  # on
    data = first.room / "two"
    tried = command("restore", str(first.file), "--dry-run", data=data)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert not data.exists()
    done = command("restore", str(first.file), data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"pirack up --data {data} --rack lab --simulate 2x2" in done.stdout
    started = first.start(data, relays)
    try:
        started.until("online")
        yield started, relays
    finally:
        started.stop()


def shown(up: Up, *words: str) -> str:
    return command(*words, data=up.data).stdout


def test_no_relay_moves(second: tuple[Up, Relays]) -> None:
    up, relays = second
    wait_until(lambda: "master 0." in shown(up, "events", "--limit", "3000"))
    said = shown(up, "events", "--limit", "3000")
    assert "outlet stack-1 is off; on was wanted; left as it is" in said
    assert "outlet stack-2 is on; off was wanted; left as it is" in said
    time.sleep(3.0)  # more than the first pause before something is tried again
    assert [call.pin for call in relays.moves()] == [STACK_1, STACK_2], "only our own"


def test_names_tags_locks_and_history_are_there(second: tuple[Up, Relays]) -> None:
    up, _ = second
    wait_until(lambda: "1 of 1 done" in shown(up, "send", "tag/db", "ping"))
    said = shown(up, "watch", "--once")
    assert "attic" in said
    assert "s02n1" not in said
    history = shown(up, "events", "--limit", "5000")
    assert "power off stack/2" in history
    assert "restored: rack lab" in history
    assert history.index("power off stack/2") < history.index("restored: rack lab")
    refused = command("send", "node/s02n2", "reboot", data=up.data)
    assert "ann" in refused.stdout + refused.stderr


def test_the_page_knows_who_is_signed_in_and_the_login(
    first: First, second: tuple[Up, Relays]
) -> None:
    up, _ = second
    kept = json.loads((first.up.data / "secrets/page.json").read_bytes())
    assert up.run["login"] == kept
    url = up.run["url"]
    assert httpx.get(url).status_code == HTTPStatus.UNAUTHORIZED
    own = httpx.get(url, cookies=first.cookies)
    assert own.status_code == HTTPStatus.OK


def test_whoever_was_let_in_by_the_broker_is(
    first: First, second: tuple[Up, Relays]
) -> None:
    up, _ = second
    listed = shown(up, "node", "list")
    assert "pi-0badcafe" in listed
    before, now = (
        (one.data / "secrets/nodes/pi-0badcafe.json").read_bytes()
        for one in (first.up, up)
    )
    assert before == now
    for name in ("secrets/ca.key", "tls/ca.crt", "secrets/operator.json"):
        assert (first.up.data / name).read_bytes() == (up.data / name).read_bytes()
    assert inspect(up.data / "tls/server.crt").names >= {"127.0.0.1"}


def test_killed_in_the_middle_it_is_completed_by_the_next_run(
    first: First, second: tuple[Up, Relays]
) -> None:
    del second  # it has stopped the first rack
    data, program = first.room / "three", (sys.executable, "-m", "pirack.cli")
    for delay_s in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3):
        words = ("restore", str(first.file), "--data", str(data), "--replace")
        with subprocess.Popen(
            [*program, *words], stdout=subprocess.DEVNULL, env=environment()
        ) as process:
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
    done = command("restore", str(first.file), "--replace", data=data)
    assert done.returncode == 0, done.stdout + done.stderr
    left = [one.name for one in first.room.iterdir() if "three" in one.name]
    assert not [name for name in left if "restor" in name], left
    with first.file.open("rb") as file:
        files = archive.check(file).files
    assert all(
        (data.parent / e.name.replace("data", "three", 1)).exists() for e in files
    )


def test_what_root_restores_is_its_users(first: First) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    home = first.room / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    for replace in ((), ("--replace",)):
        words = ("restore", str(first.file), *replace)
        done = command(*words, data=home / "rack")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {one.lstat().st_uid for one in home.rglob("*")} == {USER}


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A rack of commit bb7333b, backed up and restored by this release."""
    room = tmp_path_factory.mktemp("former")
    with tarfile.open(STORED) as stored:
        stored.extractall(room / "old", filter="data")
    done = command("backup", str(room / "file"), data=room / "old")
    assert done.returncode == 0, done.stderr
    done = command("restore", str(room / "file"), data=room / "new")
    assert done.returncode == 0, done.stdout + done.stderr
    started = Up(
        room / "new",
        *("--http-port", str(free_port()), "--mqtt-port", str(free_port())),
    )
    try:
        started.until("online")
        yield started
    finally:
        started.stop()


def test_a_rack_of_bb7333b_is_restored_into_this_release(former: Up) -> None:
    wait_until(lambda: f"{NODES} online" in shown(former, "watch", "--once"))
    said = shown(former, "watch", "--once")
    assert all(word in said for word in ("attic", "s01n2", "spare")), said
    history = shown(former, "events", "--limit", "500")
    assert "power off stack/2" in history
    assert "outlet stack-2 is on; off was wanted; left as it is" in history
    relays = former.data / "racks/lab-2x2/master/fake-outlets.json"
    assert not relays.exists(), "something was switched"


def test_the_manifest_says_what_it_is(first: First) -> None:
    with tarfile.open(first.room / "busy-0") as tar:
        text = tar.extractfile("manifest.json")
        assert text is not None
        made = msgspec.json.decode(text.read(), type=Manifest)
    assert made.format == archive.FORMAT
    assert made.hostname
    assert made.created.endswith("Z")
    owners = {entry.owner for entry in made.entries}
    assert not [owner for owner in owners if owner.isdecimal()], "names, not numbers"
