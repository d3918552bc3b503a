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
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker import dynsec, mosquitto
from broker.client import connector
from broker.dynsec import Role, User
from broker.endpoint import Endpoint
from broker.errors import BrokerError
from broker.link import Message
from broker.mosquitto_child import MosquittoChild
from broker.mosquitto_conf import Plan, TlsListener, render
from broker.topics import Topics
from tests.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

ROOT = Path(__file__).parent.parent.parent
MASTER = User(name="master", password="secret", role=Role.MASTER)
DEADLINE_S = 30.0


class Silent:
    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None: ...


def make_plan(directory: Path, *, tls: TlsListener | None = None) -> Plan:
    dynsec.write(directory, [MASTER], Topics("lab"))
    plugin = mosquitto.find().plugin
    return Plan(directory=directory, plugin=plugin, port=free_port(), tls=tls)


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
    plan = Plan(directory=tmp_path, plugin=tmp_path / "nothing.so", port=free_port())
    with pytest.raises(BrokerError, match=r"(?s)ended at once.*nothing\.so"):
        await MosquittoChild(mosquitto.find(), plan).start()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from broker import mosquitto
from broker.mosquitto_child import MosquittoChild
from broker.mosquitto_conf import Plan

async def main():
    found = mosquitto.find()
    plan = Plan(
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
