"""The built wheel, installed alone in a clean environment, is all that a node needs."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pirack import distribution
from tests.mosquitto import OpenMosquitto

ROOT = Path(__file__).parent.parent.parent
NODE_NEEDS = {"pirack", "paho-mqtt", "psutil", "msgspec"}
COMES_WITH_PYTHON = {"pip", "setuptools"}
BUILD_TIMEOUT_S = 240

pytestmark = [pytest.mark.system, pytest.mark.timeout(BUILD_TIMEOUT_S)]


def run(*command: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
        # Far from the tree: what is found is what was installed.
        cwd="/",
    )
    assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built."""
    into = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", into, ROOT)
    (built,) = into.glob("pirack-*.whl")
    return built


@pytest.fixture(scope="module")
def node(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` directory of an environment that holds the wheel alone."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "venv", directory / "venv")
    python = directory / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    return directory / "venv/bin"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of a Mosquitto."""
    broker = OpenMosquitto(tmp_path)
    broker.start()
    yield broker.port
    broker.stop()


def contents(wheel: Path | io.BytesIO) -> dict[str, int]:
    """The files of a wheel, each with its checksum, but the list that names them."""
    with zipfile.ZipFile(wheel) as archive:
        found = {entry.filename: entry.CRC for entry in archive.infolist()}
    return {name: crc for name, crc in found.items() if not name.endswith("/RECORD")}


def test_pirack_deploy_brings_what_a_build_would(wheel: Path) -> None:
    name, content = distribution.build_wheel()
    assert name == wheel.name
    brought, built = contents(io.BytesIO(content)), contents(wheel)
    assert brought.keys() == built.keys()
    # Metadata is of the last `make install`, which may be older than pyproject.toml.
    differs = [one for one in built if built[one] != brought[one]]
    assert [one for one in differs if ".dist-info/" not in one] == []


def test_an_installed_wheel_brings_itself(wheel: Path, node: Path) -> None:
    program = "import sys; from pirack import distribution; "
    program += "sys.stdout.buffer.write(distribution.build_wheel()[1])"
    words = [str(node / "python"), "-c", program]
    packed = subprocess.run(words, capture_output=True, check=True, cwd="/").stdout
    assert contents(io.BytesIO(packed)) == contents(wheel)


def test_a_node_gets_three_packages_and_nothing_else(node: Path) -> None:
    listed = run(node / "python", "-m", "pip", "list", "--format=json").stdout
    installed = {package["name"].lower() for package in json.loads(listed)}
    assert installed - COMES_WITH_PYTHON == NODE_NEEDS
    run(node / "python", "-m", "pip", "check")


def test_the_agent_teaches_and_shows_what_it_would_report(node: Path) -> None:
    assert "what it says" in run(node / "pirack-agent", "--help").stdout
    shown = run(node / "pirack-agent", "--once", "--id", "pi-wheel").stdout
    assert "pi-wheel" in shown
    assert "cpu_percent" in shown


@pytest.mark.mosquitto
def test_the_agent_reports_to_a_real_broker_and_leaves_in_peace(
    node: Path, broker: int, tmp_path: Path
) -> None:
    options = ("--id", "pi-wheel", "--rack", "lab", "--interval", "0.5")
    where = ("--host", "127.0.0.1", "--port", str(broker))
    agent = subprocess.Popen(
        [node / "pirack-agent", *options, *where, "--state-dir", tmp_path], cwd="/"
    )
    heard: dict[str, str] = {}
    try:
        for leaf in ("heartbeat", "details", "status"):
            topic = f"pirack/v1/lab/node/pi-wheel/{leaf}"
            port = ("-p", str(broker))
            tool = run("mosquitto_sub", *port, "-t", topic, "-C", "1", "-W", "60")
            heard[leaf] = tool.stdout.strip()
    finally:
        agent.terminate()
        assert agent.wait(30) == 0
    assert heard["status"] == "online"
    assert json.loads(heard["details"])["interval_s"] == 0.5
    assert json.loads(heard["heartbeat"])["memory_percent"] > 0


def test_the_command_says_which_extra_the_page_needs(node: Path) -> None:
    assert "pirack send stack/3 ping" in run(node / "pirack", "--help").stdout
    refused = run(node / "pirack", "dashboard", code=3)
    assert "pip install 'pirack[dashboard]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    refused = run(node / "pirack", "deploy", "--all", code=3)
    assert "asyncssh is not installed" in refused.stderr


def test_the_command_teaches_without_any_extra(node: Path) -> None:
    for command in ("send", "watch", "doctor", "up", "deploy"):
        assert "exit codes" in run(node / "pirack", command, "--help").stdout
