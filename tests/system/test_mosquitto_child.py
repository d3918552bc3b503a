"""The Mosquitto we run: it starts, explains itself, and never outlives us."""

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Message
from broker.client.mqtt_link import connector
from broker.common.errors import BrokerError
from broker.contract.topics import NodeLeaf, Topics
from broker.mosquitto import dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import (
    MosquittoChild,
    MosquittoConfig,
    TlsListener,
    put_aside,
    render,
)
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from tests.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

ROOT = Path(__file__).parent.parent.parent
MASTER = BrokerUser(name="master", password="secret", role=BrokerRole.MASTER)
DEADLINE_S = 30.0


class Silent:
    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None: ...


def make_plan(directory: Path, *, tls: TlsListener | None = None) -> MosquittoConfig:
    dynsec.write(directory, [MASTER], Topics("lab"))
    plugin = mosquitto.find().plugin
    return MosquittoConfig(
        directory=directory, plugin=plugin, port=free_port(), tls=tls
    )


async def can_sign_in(endpoint: Endpoint) -> bool:
    link = connector(endpoint)(Silent(), client_id="master", subscriptions=[])
    await link.start()
    try:
        return await link.wait_connected(DEADLINE_S)
    finally:
        await link.stop()


def signed(port: int, ca_file: Path | None = None) -> Endpoint:
    return Endpoint(port=port, username="master", password="secret", ca_file=ca_file)


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[MosquittoChild]:
    made = MosquittoChild(mosquitto.find(), make_plan(tmp_path))
    yield made
    await made.stop()


async def test_it_starts_answers_and_stops_and_twice_is_fine(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    child = MosquittoChild(mosquitto.find(), plan)
    await child.start()
    await child.start()
    assert await can_sign_in(signed(plan.port))
    await child.stop()
    await child.stop()
    assert child.pid is None


async def test_it_can_be_started_again_after_it_was_killed(
    child: MosquittoChild,
) -> None:
    await child.start()
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    assert child.pid is None
    await child.start()
    assert child.pid not in {None, first}


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    first = MosquittoChild(mosquitto.find(), plan)
    await first.start()
    try:
        with pytest.raises(BrokerError, match=f"port {plan.port}: Address already"):
            await MosquittoChild(mosquitto.find(), plan).start()
    finally:
        await first.stop()


async def test_why_it_does_not_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    plan = MosquittoConfig(
        directory=tmp_path, plugin=tmp_path / "nothing.so", port=free_port()
    )
    with pytest.raises(BrokerError, match=r"(?s)ended at once.*nothing\.so"):
        await MosquittoChild(mosquitto.find(), plan).start()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "NUL bytes, as after a power cut": lambda good: bytes(len(good)),
    "empty": lambda _good: b"",
    "the first half": lambda good: good[: len(good) // 2],
    "its head only": lambda good: good[:20],
    "another file": lambda good: b"SQLite format 3\0" + good[16:],
    "NUL bytes from the middle on": lambda good: good[: len(good) // 2].ljust(
        len(good), b"\0"
    ),
    "lengths that are too large": lambda good: good[:20] + b"\xff" * 40 + good[60:],
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_store_is_put_aside_and_the_broker_starts(
    tmp_path: Path, damage: str
) -> None:
    said: list[str] = []
    child = MosquittoChild(mosquitto.find(), plan := make_plan(tmp_path), said.append)
    await child.start()
    await store_much(plan.port)
    await child.stop()
    store = tmp_path / "mosquitto.db"
    good = store.read_bytes()
    assert len(good) > 1_000
    store.write_bytes(bad := DAMAGES[damage](good))
    await child.start()
    try:
        assert await can_sign_in(signed(plan.port))
    finally:
        await child.stop()
    aside = broken_stores(tmp_path)
    if aside:  # else Mosquitto itself could go on with it
        assert aside[0].read_bytes() == bad
        assert any("cannot be read and was put aside as" in line for line in said)
    assert aside or "NUL bytes, as" not in damage


async def test_a_broker_that_fails_for_another_reason_keeps_its_store(
    tmp_path: Path,
) -> None:
    child = MosquittoChild(mosquitto.find(), plan := make_plan(tmp_path))
    await child.start()
    await store_much(plan.port)
    await child.stop()
    good = (tmp_path / "mosquitto.db").read_bytes()
    plan = MosquittoConfig(
        directory=tmp_path, plugin=tmp_path / "nothing.so", port=free_port()
    )
    with pytest.raises(BrokerError, match="ended at once"):
        await MosquittoChild(mosquitto.find(), plan).start()
    assert (tmp_path / "mosquitto.db").read_bytes() == good


def test_only_the_last_damaged_stores_are_kept(tmp_path: Path) -> None:
    store = tmp_path / "mosquitto.db"
    for number in range(5):
        (tmp_path / f"mosquitto.db.broken-2020010{number}T000000").touch()
    store.touch()
    assert put_aside(store).exists()
    assert len(list(tmp_path.iterdir())) == 3


def broken_stores(folder: Path) -> list[Path]:
    return list(folder.glob("mosquitto.db.broken-*"))


async def store_much(port: int) -> None:
    link = connector(signed(port))(
        Silent(),
        client_id="master",
        subscriptions=[],
        status_topic=Topics("lab").master_status,  # its goodbye is waited for
    )
    await link.start()
    assert await link.wait_connected(DEADLINE_S)
    for number in range(30):
        topic = Topics("lab").node(f"pi-{number}", NodeLeaf.STATE)
        link.publish(topic, b"x" * 200, qos=1, retain=True)
    await link.stop()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import MosquittoChild, MosquittoConfig

async def main():
    found = mosquitto.find()
    plan = MosquittoConfig(
        directory=Path(sys.argv[1]), plugin=found.plugin, port=int(sys.argv[2])
    )
    child = MosquittoChild(found, plan)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_it_ends_with_its_supervisor_even_by_kill_9(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), str(plan.port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.kill()
    assert gone_within(pid, DEADLINE_S)


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if state.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "server.crt", directory / "server.key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_nodes_may_sign_in_over_tls(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    ca_file, key = certificate
    tls = TlsListener(port=free_port(), certificate=ca_file, key=key, host="127.0.0.1")
    child = MosquittoChild(mosquitto.find(), make_plan(tmp_path, tls=tls))
    await child.start()
    try:
        assert await can_sign_in(signed(tls.port, ca_file))
    finally:
        await child.stop()


@pytest.fixture
def production(tmp_path: Path, certificate: tuple[Path, Path]) -> tuple[Path, int]:
    """``mosquitto.conf`` as shipped, with other paths and ports."""
    plan = make_plan(tmp_path)
    text = (ROOT / "mosquitto.conf").read_text(encoding="utf-8")
    swaps = {
        r"^plugin .*": f"plugin {plan.plugin}",
        r"/var/lib/pirack/mosquitto/": f"{tmp_path}/",
        r"/var/lib/pirack/tls/server.crt": str(certificate[0]),
        r"/var/lib/pirack/tls/server.key": str(certificate[1]),
        r"^listener 1883 127.0.0.1": f"user root\nlistener {plan.port} 127.0.0.1",
        r"^listener 8883": f"listener {free_port()} 127.0.0.1",
    }
    for pattern, replacement in swaps.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, f"{pattern} is not in mosquitto.conf any more"
    path = tmp_path / "production.conf"
    path.write_text(text, encoding="utf-8")
    return path, plan.port


async def test_the_shipped_production_configuration_works(
    production: tuple[Path, int],
) -> None:
    path, port = production
    process = await asyncio.create_subprocess_exec(
        mosquitto.find().program, "-c", path, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert await can_sign_in(signed(port)), "Mosquitto did not take it"
    finally:
        process.terminate()
        _, said = await process.communicate()
    assert b"Error" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it_too() -> None:
    nobody = pwd.getpwnam("nobody")
    directory = Path("/tmp") / f"pirack-test-{os.getpid()}"  # noqa: S108  # tmp_path is root's own
    directory.mkdir(mode=0o700)
    try:
        plan = make_plan(directory)
        conf = directory / "mosquitto.conf"
        conf.write_text(render(plan, root=False))
        for path in (directory, *directory.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        with subprocess.Popen(
            [mosquitto.find().program, "-c", conf],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                assert asyncio.run(can_sign_in(signed(plan.port)))
            finally:
                process.terminate()
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("said", "status", "put_aside"),
    [
        ("Error: Couldn't open database.", "1", True),
        ("Error: Address already in use", "1", False),
        (
            "2.0.11 running\nError: Couldn't open database.",
            "1",
            False,
        ),
        ("Loading plugin", "SEGV", True),
        ("mosquitto version 2.0.11 running", "SEGV", False),
        ("Loading plugin", "TERM", False),
    ],
)
def test_the_shipped_unit_puts_a_damaged_store_aside(
    tmp_path: Path, said: str, status: str, *, put_aside: bool
) -> None:
    """The line of the unit, run as systemd would run it."""
    unit = (ROOT / "deploy/mosquitto.service.d/pirack.conf").read_text(encoding="utf-8")
    joined = unit.replace("\\\n", " ")
    line = re.search(r"^ExecStopPost=-/bin/sh -c '(.*)'$", joined, re.MULTILINE)
    assert line is not None
    script = line[1].replace("$$", "$").replace("%%", "%").replace("\\'", "'")
    conf = tmp_path / "pirack.conf"
    conf.write_text(f"persistence true\npersistence_location {tmp_path}/\n")
    script = script.replace("/etc/mosquitto/pirack.conf", str(conf))
    journal = tmp_path / "journalctl"
    journal.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    journal.chmod(0o755)
    (tmp_path / "mosquitto.db").write_bytes(b"store")
    subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "EXIT_STATUS": status},
        check=True,
    )
    assert len(broken_stores(tmp_path)) == put_aside
    assert (tmp_path / "mosquitto.db").exists() is not put_aside
