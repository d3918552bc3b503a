"""A real agent joins over TLS with what `pirack node add` gave it, and leaves again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

NODE, OTHER = "pi-0badcafe", "pi-0badbeef"
DEADLINE_S = 30.0

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]


def environment() -> dict[str, str]:
    """A person's: without what pytest and NiceGUI's test plugin tell a child."""
    mine = ("NICEGUI", "PYTEST", "PIRACK")
    return {
        name: text for name, text in os.environ.items() if not name.startswith(mine)
    }


class Process:
    """A program of ours and what it says."""

    def __init__(self, *words: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def until(self, words: str) -> None:
        wait_until(lambda: words in self.said, lambda: self.said)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with self.process:
            self.process.wait(30)
            self._reader.join(5)


def wait_until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def pirack(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pirack.cli", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env=environment(),
    )


def add(data: Path, node: str, *words: str) -> tuple[Path, str]:
    """Add a node and return its bundle, usable where it was written, and what is said.

    It waits there as it would in /etc/pirack of the Pi.
    """
    into = data / "for-the-pi"
    at = ("--to", str(into), "--at", str(into / node))
    done = pirack(data, "node", "add", node, *at, *words)
    assert done.returncode == 0, done.stderr
    return into / node, done.stdout


@contextlib.contextmanager
def agent(bundle: Path, node: str) -> Iterator[Process]:
    options = ("--id", node, "--interval", "1", "--state-dir", str(bundle / "state"))
    started = Process(
        "node_agent.cli", "--config", str(bundle / "pirack.toml"), *options
    )
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a running rack that listens for Pis."""
    data = tmp_path_factory.mktemp("real") / "my rack"
    configuration = data.parent / "pirack.toml"
    configuration.write_text("[rack]\nstacks = 2\nboards = 4\n")
    door = free_port()
    up = Process(
        *("pirack.cli", "up", "--simulate", "0", "--data", str(data)),
        *("--config", str(configuration), "--listen", f"127.0.0.1:{door}"),
        *("--http-port", "28090", "--mqtt-port", "28890"),
    )
    try:
        up.until("Ready.")
        assert "node add" in up.said
        yield data
    finally:
        up.stop()


def test_a_pi_joins_with_its_bundle_is_placed_and_answers(rack: Path) -> None:
    bundle, told = add(rack, NODE, "--name", "s02n3", "--stack", "2", "--slot", "3")
    assert "done: name s02n3" in told
    assert "done: place 2 3" in told
    assert (bundle / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert bundle.stat().st_mode & 0o777 == 0o700
    assert "never heard" not in pirack(rack, "node", "list").stderr
    with agent(bundle, NODE) as process:
        process.until("connected to Endpoint(mqtts://")
        wait_until(
            lambda: "2/3       online" in pirack(rack, "node", "list").stdout,
            lambda: process.said,
        )
        pinged = pirack(rack, "send", "s02n3", "ping")
        assert pinged.returncode == 0, pinged.stdout
        assert "Traceback" not in process.said


def test_a_board_still_in_its_box_is_never_seen_and_no_incident(rack: Path) -> None:
    box = "pi-00b0b0b0"
    _, told = add(rack, box, "--name", "boxed", "--stack", "1", "--slot", "2")
    assert "note:" not in told
    row = next(r for r in listed(rack) if r.startswith(box))
    assert row.split()[1:] == ["boxed", "1/2", "never", "seen"]
    add(rack, box, "--renew")  # with the new password it signs in once more
    time.sleep(5)  # a connection that broke is asked about, and judged, in this time
    events = pirack(rack, "events").stdout
    assert f"name node/{box}" in events
    assert "boxed was heard" not in events
    assert f"{box} was heard" not in events
    assert "is lost" not in events
    assert "never seen" in next(r for r in listed(rack) if r.startswith(box))
    assert pirack(rack, "node", "forget", box).returncode == 0


def listed(rack: Path) -> list[str]:
    return pirack(rack, "node", "list").stdout.splitlines()


def test_adding_and_forgetting_disturbs_nobody(rack: Path) -> None:
    bundle, _ = add(rack, NODE)
    with agent(bundle, NODE) as process:
        process.until("connected to Endpoint")
        for _ in range(3):
            add(rack, OTHER)
            assert pirack(rack, "node", "forget", OTHER).returncode == 0
        add(rack, NODE)  # once more: the password stays
        assert pirack(rack, "send", NODE, "ping").returncode == 0
        assert "disconnected:" not in process.said


def test_a_broker_of_another_authority_is_refused_in_words(
    rack: Path, tmp_path: Path
) -> None:
    bundle, _ = add(rack, NODE)
    other = tmp_path / "bundle"
    shutil.copytree(bundle, other)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    files = ("-keyout", "/dev/null", "-out", str(other / "ca.crt"))
    subprocess.run(
        ["openssl", "req", "-x509", *key, *files, "-subj", "/CN=somebody"],
        check=True,
        capture_output=True,
    )
    text = (other / "pirack.toml").read_text().replace(str(bundle), str(other))
    (other / "pirack.toml").write_text(text)
    with agent(other, NODE) as process:
        process.until("is not trusted")
        assert "is not the authority that signed its certificate" in process.said
        assert "connected to Endpoint" not in process.said
        assert process.process.poll() is None  # it goes on trying


def test_the_credentials_of_one_node_are_no_good_for_another(rack: Path) -> None:
    bundle, _ = add(rack, NODE)
    with agent(bundle, OTHER) as process:
        process.until(f"the broker refused {OTHER} as user {NODE}")
        assert "connected to Endpoint" not in process.said


def test_a_renewed_password_ends_the_old_one(rack: Path) -> None:
    bundle, _ = add(rack, NODE)
    old = json.loads((bundle / "credentials.json").read_text())
    add(rack, NODE, "--renew")
    new = json.loads((bundle / "credentials.json").read_text())
    assert new["username"] == old["username"]
    assert new["password"] != old["password"]
    with agent(bundle, NODE) as process:
        process.until("connected to Endpoint")
    (bundle / "credentials.json").write_text(json.dumps(old))
    with agent(bundle, NODE) as process:
        process.until("the broker refused")


def test_a_forgotten_node_is_disconnected_cleared_and_may_come_back(rack: Path) -> None:
    bundle, _ = add(rack, NODE, "--name", "leaver")
    with agent(bundle, NODE) as process:
        process.until("connected to Endpoint")
        gone = pirack(rack, "node", "forget", "leaver")
        assert gone.returncode == 0, gone.stderr
        assert f"cleared pirack/v1/lab/node/{NODE}/status" in gone.stdout
        process.until(f"the broker refused {NODE}")
    assert NODE not in pirack(rack, "node", "list").stdout
    assert "leaver" not in pirack(rack, "watch", "--once").stdout
    assert not (rack / "secrets/nodes" / f"{NODE}.json").exists()
    bundle, _ = add(rack, NODE)
    with agent(bundle, NODE) as process:
        process.until("connected to Endpoint")
        wait_until(
            lambda: "online" in pirack(rack, "node", "list").stdout,
            lambda: process.said,
        )


def test_an_add_that_failed_half_way_can_be_asked_for_again(rack: Path) -> None:
    failed = pirack(rack, "node", "add", "pi-0000beef", "--to", "/proc/nowhere")
    assert failed.returncode == 3
    _, said = add(rack, "pi-0000beef", "--name", "second")
    assert "done: name second" in said
    assert pirack(rack, "node", "forget", "second").returncode == 0


def test_the_doctor_knows_the_door_and_who_may_come_in(rack: Path) -> None:
    add(rack, NODE)
    report = pirack(rack, "doctor").stdout
    assert "ok   certificate" in report
    assert "1 node was added; the broker knows no others" in report


def test_who_is_no_board_is_refused_with_the_right_forms(rack: Path) -> None:
    done = pirack(rack, "node", "add", "My Pi!")
    assert done.returncode == 2
    assert "MAC address" in done.stderr
