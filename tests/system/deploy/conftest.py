"""A rack that listens, make-believe Pis, and what they install from."""

import contextlib
import io
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pirack import cli, distribution
from provisioning.deploy import ssh
from tests.ports import free_port
from tests.system.deploy.pi import Pi
from tests.system.up.process import Up

PYTHON = "/usr/bin/python3"
"""The Pis' own, as on Raspberry Pi OS; not the one that runs the tests."""
PROGRAMS = ("sshd", "unshare", "nsenter", "sudo", PYTHON)
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NEEDS = ("msgspec", "paho-mqtt", "psutil")

MakePi = Callable[[], Pi]


def require() -> None:
    """Skip where no Pi can be made; root is skipped only for a missing program."""
    if os.geteuid() != 0:
        pytest.skip("mount namespaces need root: sudo make test")
    missing = [one for one in PROGRAMS if shutil.which(one, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {missing} (tests/system/packages.txt)")


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the agent needs, fetched as docs/provisioning.md says."""
    require()
    into = tmp_path_factory.mktemp("wheelhouse")
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([PYTHON, "-c", asked], text=True).strip()
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    only = ("--only-binary=:all:", "--python-version", version)
    subprocess.run([*pip, *only, "--dest", str(into), *NEEDS], check=True, timeout=120)
    return into


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our package, the same all the time: the tree may be edited meanwhile."""
    name, content = distribution.build_wheel()
    path = tmp_path_factory.mktemp("wheel") / name
    path.write_bytes(content)
    return path


@pytest.fixture(scope="package")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A rack that listens for boards, once it is ready."""
    require()
    data = tmp_path_factory.mktemp("deploy") / "my rack"
    configuration = data.parent / "pirack.toml"
    configuration.write_text("[rack]\nstacks = 2\nboards = 4\n")
    up = Up(
        data,
        *("--config", str(configuration)),
        *("--simulate", "0", "--listen", f"127.0.0.1:{free_port()}"),
        *("--http-port", "28190", "--mqtt-port", "28990"),
    )
    try:
        yield up
    finally:
        up.stop()


@pytest.fixture(scope="package")
def rack(starting: Up, wheelhouse: Path, wheel: Path) -> Path:
    """The data directory of a running rack that listens for boards."""
    del wheelhouse, wheel  # made while it starts
    return starting.ready().data


def typed(*words: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Do what a person types, without starting an interpreter for it."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = cli.main([*words, "--data", str(data)])
    return subprocess.CompletedProcess(words, code, out.getvalue(), error.getvalue())


@pytest.fixture(scope="package")
def make_pi(rack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePi]:
    """Makes Pis that know the rack's key, and have power as long as it."""
    done = typed("deploy", "--print-key", data=rack)
    assert done.returncode == 0, done.stderr
    key, directory = done.stdout.strip(), tmp_path_factory.mktemp("pis")
    made: list[Pi] = []
    numbers = itertools.count(20)

    def make() -> Pi:
        number = next(numbers)
        serial = f"100000000bad00{number:02x}"
        pi = Pi(directory / str(number), f"127.0.0.{number}", serial, key)
        made.append(pi)
        return pi.on()

    yield make
    for pi in made:
        pi.remove()


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Pi]:
    """A Pi that nothing is installed on; it knows the key in ``tmp_path``."""
    require()
    line = ssh.public_line(ssh.own_key(tmp_path))
    pi = Pi(tmp_path / "pi", "127.0.0.80", "100000000badf00d", line)
    yield pi.on()
    pi.remove()
