"""A board that says it has 32 bits makes wheels: real SSH, pip, overlay and chroot.

It is a make-believe Pi with this machine's processor, and its package index a folder.
The emulated board of ``tests/system/machines`` has 32 bits in earnest.
"""

import functools
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pirack import distribution
from provisioning.deploy.report import DeployStep, Report, Trouble
from provisioning.deploy.wheels import WheelStore
from tests.system.deploy.alone import deploy
from tests.system.deploy.conftest import PYTHON
from tests.system.deploy.pi import Pi

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SMALL = r"""#!/bin/sh
case "$*" in *calcsize*) echo 32 ;; *) exec /usr/bin/python3 "$@" ;; esac
"""
APT = r"""#!/bin/sh
echo "$*" >>/var/log/apt.log
case "$*" in
    *indextargets*) cat /run/release ;;
    *install*)
        echo Inst >>/var/log/apt.log
        mkdir -p HEADERS && touch HEADERS/Python.h /usr/include/limits.h /usr/bin/gcc
        chmod 755 /usr/bin/gcc
        ;;
esac
"""
SOURCES = {"msgspec": "msgspec.py", "psutil": "psutil.py", "paho-mqtt": "paho.py"}
SETUP = "from setuptools import setup\nsetup(name={!r}, version={!r}, {})\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        """Says nothing."""


class Index:
    """A package index of files in one folder, for the boards of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        handler = functools.partial(Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name: str, content: bytes) -> None:
        package = name.rpartition("-")[0]
        if name.endswith(".whl"):
            package = name.partition("-")[0].replace("_", "-").lower()
        page = self.folder / "simple" / package / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        with page.open("a") as file:
            file.write(f'<a href="/{name}">{name}</a><br>\n')

    def add_as_piwheels(self, folder: Path, *patterns: str) -> None:
        """Add wheels under the names that piwheels gives to those it builds."""
        ours = f"linux_{os.uname().machine}.whl"
        for pattern in patterns:
            for one in folder.glob(pattern):
                name = re.sub(r"manylinux.*\.whl$", ours, one.name)
                self.add(name, one.read_bytes())

    def __enter__(self) -> "Index":
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "piwheels"
    folder.mkdir()
    (folder / "InRelease").write_text("a list of packages\n")
    with Index(folder) as made:
        yield made


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lock files name, for the Python of the boards."""
    into = tmp_path_factory.mktemp("fetched")
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([PYTHON, "-c", asked], text=True).strip()
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    for lock in ("node.lock", "wheels.lock"):
        wanted = (
            "--require-hashes",
            "--requirement",
            distribution.deploy_directory() / lock,
        )
        only = ("--only-binary=:all:", "--python-version", version)
        subprocess.run([*pip, *only, *wanted, "--dest", into], check=True, timeout=120)
    return into


@pytest.fixture
def small(blank: Pi, index: Index) -> Pi:
    """A board of 32 bits with pip set up for an index, and without a compiler."""
    for folder in ("bin", "sbin"):  # of the user, and of root
        put(blank, f"/usr/local/{folder}/python3", SMALL)
    headers = blank.run(
        "/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path(\"include\"))'"
    ).strip()
    put(blank, "/usr/local/sbin/apt-get", APT.replace("HEADERS", headers))
    blank.run(f"rm -rf {headers} /usr/bin/gcc /usr/sbin/policy-rc.d")
    blank.run("rm -rf /root/.config/pip /root/.pip")
    put(blank, "/etc/pip.conf", f"[global]\nindex-url = {index.url}/simple\n")
    put(blank, "/run/release", f"{index.url}/InRelease\n")
    blank.run("mount -t tmpfs -o mode=755 opt /opt")  # on a card: no overlay itself
    return blank


def put(pi: Pi, path: str, text: str) -> None:
    file = pi.files / path.lstrip("/")
    file.write_text(text)
    file.chmod(0o755)


def looked(told: list[Report]) -> str:
    return " ".join(one.text for one in told if one.step is DeployStep.LOOKING)


def sums(pi: Pi, store: WheelStore) -> None:
    """See that what is installed there came from files whose hashes are kept."""
    (kind,) = store.kinds()
    files = store.files(kind)
    lines = files["SHA256SUMS"].decode().splitlines()
    assert len(lines) == 3
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest
    freeze = pi.run("cd / && /opt/pirack/bin/python -m pip freeze").splitlines()
    for name in (line.split("  ")[1] for line in lines):
        release = "==".join(name.split("-")[:2]).replace("paho_mqtt", "paho-mqtt")
        assert release in freeze


def nothing_left(pi: Pi) -> None:
    assert ".pirack-wheels" not in pi.run("ls -A /opt /tmp")
    assert "/opt/" not in pi.run("cut -d ' ' -f 2 /proc/mounts")
    there = pi.run("ls /usr/sbin/policy-rc.d /usr/bin/gcc 2>/dev/null || true")
    assert there == ""


async def test_wheels_of_piwheels_are_kept_and_installed_by_their_hashes(
    small: Pi, index: Index, wheel: Path, fetched: Path, tmp_path: Path
) -> None:
    # It is told by its address, as any index that pip is set up for may have the name.
    put(small, "/etc/pip.conf", f"[global]\nextra-index-url={index.url}/piwheels\n")
    (index.folder / "piwheels").symlink_to("simple")
    store = WheelStore(tmp_path / "board-wheels", distribution.deploy_directory())
    index.add_as_piwheels(fetched, "msgspec*.whl", "paho*.whl")
    put(small, "/run/release", "")
    none = await deploy(small, tmp_path, wheel, wheels=store)
    assert none.trouble is Trouble.WHEELS
    assert "piwheels: it cannot be reached: HTTP Error 404" in none.text
    assert "apt: it has no package source" in none.text

    index.add_as_piwheels(fetched, "psutil*.whl")
    put(small, "/etc/pip.conf", f"[global]\nindex-url={index.url}/piwheels\n")
    told: list[Report] = []
    report = await deploy(small, tmp_path, wheel, wheels=store, told=told)
    assert report.trouble is Trouble.SILENT, report.text  # installed; nobody listens
    assert "it gets them from piwheels" in looked(told)
    sums(small, store)
    nothing_left(small)
    assert "Inst" not in small.run("cat /var/log/apt.log")


@pytest.fixture
def sources(
    index: Index, fetched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Files to deploy whose lock file names the sources of small packages."""
    units = Path(shutil.copytree(distribution.deploy_directory(), tmp_path / "units"))
    lock = (units / "node.lock").read_text()
    lines = []
    for name, version in re.findall(r"^([a-z-]+)==([0-9.]+)", lock, re.M):
        content = source(name, version)
        index.add(f"{name}-{version}.tar.gz", content)
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    (units / "node.lock").write_text("".join(lines))
    for one in fetched.glob("*.whl"):
        if not re.match("msgspec|psutil|paho", one.name):
            index.add(one.name, one.read_bytes())
    monkeypatch.setattr(distribution, "deploy_directory", lambda: units)
    return units


def source(name: str, version: str) -> bytes:
    """A source archive of a package with one empty module."""
    module = {"paho-mqtt": "paho/mqtt/client.py"}.get(name, f"{name}.py")
    what = "packages=['paho.mqtt']" if "/" in module else f"py_modules=[{name!r}]"
    files = {"setup.py": SETUP.format(name, version, what), module: ""}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


async def test_a_board_builds_wheels_in_a_layer_and_keeps_nothing_of_it(
    small: Pi, index: Index, sources: Path, wheel: Path, tmp_path: Path
) -> None:
    store = WheelStore(tmp_path / "board-wheels", sources)
    put(small, "/run/release", "http://127.0.0.1:9/InRelease\n")
    none = await deploy(small, tmp_path, wheel, wheels=store)
    assert none.trouble is Trouble.WHEELS
    assert "piwheels: not in its pip.conf" in none.text or "piwheels" in index.url
    assert "apt: E: " in none.text
    assert "--wheelhouse" in none.text
    assert small.run("ls -A /opt") == ""

    put(small, "/run/release", f"{index.url}/InRelease\n")
    told: list[Report] = []
    report = await deploy(small, tmp_path, wheel, wheels=store, told=told)
    assert report.trouble is Trouble.SILENT, report.text
    assert "come by apt into a layer over its system" in looked(told)
    assert "Inst" not in small.run("cat /var/log/apt.log")  # it was in the layer
    sums(small, store)
    nothing_left(small)

    # The next board of that kind gets them, with nothing to make them of.
    put(small, "/run/release", "")
    small.run("umount /opt; mount -t tmpfs -o mode=755 opt /opt")
    told.clear()
    report = await deploy(small, tmp_path, wheel, wheels=store, told=told)
    assert report.trouble is Trouble.SILENT, report.text
    assert "it gets those that are kept here" in looked(told)
    sums(small, store)


async def test_sources_whose_hash_the_lock_file_does_not_have_are_not_built(
    small: Pi, sources: Path, wheel: Path, tmp_path: Path
) -> None:
    lock = sources / "node.lock"
    lock.write_text(re.sub("sha256:....", "sha256:0000", lock.read_text()))
    store = WheelStore(tmp_path / "board-wheels", sources)
    report = await deploy(small, tmp_path, wheel, wheels=store)
    assert report.trouble is Trouble.PACKAGES
    assert "the wheels could not be built" in report.text
    assert store.kinds() == ()
    nothing_left(small)


@pytest.mark.long
def test_wheels_that_could_not_be_handed_over_are_not_built_twice(
    small: Pi, sources: Path
) -> None:
    into = small.files / "root/recipe"
    into.mkdir()
    for name in ("wheels", "node.lock", "wheels.lock"):
        shutil.copy(sources / name, into / name)
    make = "sh /root/recipe/wheels source"
    broke_off = small.run(f"{make} >/dev/full || echo code $?", timeout_s=150)
    assert broke_off.startswith("code ")
    assert "made" in small.run("ls /opt/.pirack-wheels")
    put(small, "/usr/local/sbin/apt-get", "#!/bin/sh\nexit 1\n")
    printed = small.run(f"{make} | base64 -d | tar t")
    assert printed.count(".whl") == 3
    nothing_left(small)


def test_wheels_made_for_something_else_are_not_handed_over(
    small: Pi, sources: Path
) -> None:
    into = small.files / "root/recipe"
    into.mkdir()
    for name in ("wheels", "node.lock", "wheels.lock"):
        shutil.copy(sources / name, into / name)
    made, recipe = "/opt/.pirack-wheels/made", "/root/recipe"
    digest = f"$(cat {recipe}/node.lock {recipe}/wheels.lock | sha256sum | cut -c 1-64)"
    for of in ("", "source cpython-39-arm-linux-gnueabihf "):
        small.run(
            f"mkdir -p {made}; echo '{of}'{digest} >{made}/of; touch {made}/a.whl"
        )
        # No index is there: it makes none, and hands over none.
        make = f"PIP_NO_INDEX=1 sh {recipe}/wheels piwheels"
        assert small.run(f"{make} || echo code $?").startswith("code ")
        nothing_left(small)


async def test_a_bundle_without_wheels_for_a_32_bit_board_installs_nothing_there(
    small: Pi, wheel: Path, tmp_path: Path
) -> None:
    report = await deploy(small, tmp_path, wheel)  # as by `pirack node add`
    assert report.trouble is Trouble.PACKAGES
    assert "let `pirack deploy` install this board, which makes them" in report.text
    assert small.restarts() == 0
