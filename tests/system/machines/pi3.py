"""An emulated Raspberry Pi 3B: built from packages, booted, and asked to run checks.

A Raspberry Pi 3 in all that names it: its device tree (model, serial, revision) and the
pin controller of its SoC. The kernel is Debian's, not Raspberry Pi's; there is no
network and no card: all of it is an initramfs. Packages and wheels are those that a Pi
would get, and PiRack is its wheel in a virtual environment, as `pirack deploy` leaves
it. QEMU is unpacked, too: nothing is installed here, and root is not needed.

What differs from a board: the ACT light of a 3B hangs on a chip of the firmware, which
QEMU has not; here it hangs on GPIO29, where a 3B+ has it. Pins have no pull resistors.
"""

from __future__ import annotations

import compileall
import contextlib
import importlib.metadata
import json
import lzma
import py_compile
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.machines import rpi_gpio
from tests.system.machines.initramfs import Initramfs
from tests.system.machines.packages import CACHE, Packages, cached, native, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

PROJECT = Path(__file__).parents[3]
SERIAL = "00000000abcdef12"
REVISION = "a02082"
"""3B, 1 GB, made by Sony."""
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
BOARD = "bcm2837-rpi-3-b.dtb"
MODULES = ("leds-gpio", "bcm2835_thermal", "bcm2835_wdt")
"""Light, temperature, and the reset by which the machine ends."""
LOCK = PROJECT / "requirements/gpio.lock"
AGENT = ("msgspec", "paho-mqtt", "psutil")
GPIOD, LGPIO = ("gpiod",), ("lgpio", "rpi-lgpio")
"""Libraries for pins; of lgpio there is no wheel for Python 3.13."""
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
PLUGINS = ("pytest-asyncio", "typing-extensions", "pytest-timeout")
"""Written in Python alone: those of this run are good for any machine."""
VENV, CHECKS = "opt/pirack", "checks"
BUT_OF_DEBIAN = (
    *("usr/share", "usr/sbin", "usr/bin/[!pb]*", "usr/bin/perl*", "var/*", "etc/*"),
    *(
        "usr/libexec",
        "*.pyi",
        "pydoc_data",
        "tests",
        "test",
        "lib2to3",
        "idlelib",
        "gconv",
        "systemd",
        "udev",
    ),
)
BUT_OF_PYTEST = ("pygments/lexers/[!_dp]*", "pygments/lexers/__pycache__/[!_dp]*")
"""What no check needs: the kernel unpacks everything at each boot."""
INIT = """\
#!/bin/sh
# The first process: mounts what a system has, runs the checks, and ends the machine.
export PATH=/opt/pirack/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
[ -e /dev/null ] || busybox mount -t devtmpfs dev /dev
busybox mount -t tracefs trace /sys/kernel/tracing
for module in /modules/*; do busybox insmod "$module"; done
busybox stty -F /dev/ttyAMA0 raw
cd /checks
export PI_REPORT=/dev/ttyAMA0 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export PI_DRIVERS={drivers} PYTHONPATH=/checks:/checks/lib:{library}
python -m pytest -c pytest.ini {files}
echo '{{"end": '$?'}}' >/dev/ttyAMA0
busybox sleep 1
busybox reboot -f
"""
SETTINGS = """\
[pytest]
addopts = -q --color=no --noconftest -p no:cacheprovider --import-mode=importlib
    -p pytest_asyncio.plugin -p pytest_timeout
    -p tests.system.machines.on_a_pi.report -p tests.system.machines.on_a_pi.benches
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
markers = system: starts real processes
timeout = 300
filterwarnings = error
"""
BOARD_CHECKS = "tests/system/machines/on_a_pi/check_board.py"
PIN_CHECKS = "tests/system/machines/on_a_pi/check_pins.py"
REPORT_CHECKS = "tests/system/machines/on_a_pi/check_report.py"
POWERD_CHECKS = "tests/system/machines/on_a_pi/check_powerd.py"
CONTRACT = "tests/system/power/test_power_contract.py"


@dataclass(frozen=True)
class Plan:
    """What is tried in one boot.

    Args:
        files: Of checks.
        drivers: Those that are checked.
        library: Which of the two that are named RPi.GPIO in Python is on the path;
            empty for none.
        suite: The Debian of the board.
        options: More of the kernel.
    """

    files: Sequence[str]
    drivers: Sequence[str]
    library: str
    suite: str = "bookworm"
    options: str = ""

    @property
    def python(self) -> str:
        """The board's Python."""
        return PYTHONS[self.suite]


ALL_CHECKS = (BOARD_CHECKS, PIN_CHECKS, POWERD_CHECKS, CONTRACT)
LGPIO_PLAN = Plan(ALL_CHECKS, ("gpiod", "rpi-gpio"), "rpi-lgpio")
DEBIAN_13_PLAN = Plan(
    ALL_CHECKS,
    ("gpiod",),
    "",
    suite="trixie",
    options="pinctrl_bcm2835.persist_gpio_outputs=y",
)
"""Outputs stay, as on Raspberry Pi's kernel; Debian 12's has no such parameter."""
REPORT_PLAN = replace(DEBIAN_13_PLAN, files=(REPORT_CHECKS,))
"""The script for owners, on a kernel that keeps outputs as theirs does."""
RPI_GPIO_PLAN = Plan((PIN_CHECKS, CONTRACT), ("rpi-gpio",), "rpi-gpio")


ENDS = (['{"end": 0}'], ['{"end": 1}'])
"""Last lines of a report: all passed, or some test failed; else pytest itself did."""


class Pi3Error(Exception):
    """The board cannot be built, or did not come to its end; shows what it said."""


@dataclass(frozen=True)
class Check:
    """The result of one test that ran on the board."""

    name: str
    outcome: str
    at_s: float = 0.0
    """Seconds since the board started."""
    seconds: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Board:
    """What a board boots from, and what emulates it."""

    qemu: Path
    kernel: Path
    device_tree: Path
    initramfs: Path
    options: str

    def boot(self, folder: Path, *, deadline_s: float) -> list[Check]:
        """Boots it, and returns the results of its checks once it has ended.

        Args:
            folder: Where the serial lines are written.
            deadline_s: How long that may take.

        Raises:
            Pi3Error: It did not come to its end; shows the last it said.
        """
        report, console, errors = (folder / n for n in ("report", "console", "qemu"))
        options = "console=ttyS1,115200 rdinit=/init nr_cpus=1 maxcpus=1 iomem=relaxed"
        words = (
            *program(self.qemu, "qemu-system-aarch64"),
            *("-M", "raspi3b"),
            # All processors on one thread, in turn. Linux starts the first one alone,
            # for under TCG it waits for the others in vain; on threads of their own
            # those would spin, each at the cost of one of this machine's.
            *("-accel", "tcg,thread=single"),
            *("-kernel", str(self.kernel), "-dtb", str(self.device_tree)),
            *("-initrd", str(self.initramfs)),
            *("-append", f"{options} panic=-1 quiet cryptomgr.notests {self.options}"),
            *("-display", "none", "-monitor", "none", "-no-reboot"),
            *("-serial", f"file:{report}", "-serial", f"file:{console}"),
        )
        with errors.open("wb") as output, _running(words, output) as machine:
            with contextlib.suppress(subprocess.TimeoutExpired):
                machine.wait(deadline_s)
            code = machine.poll()
        lines = _text(report).splitlines()
        if code != 0 or lines[-1:] not in ENDS:
            state = "did not end" if code is None else f"ended with {code}"
            said = (
                f"--- {f.name}\n{_text(f)[-3000:]}" for f in (errors, console, report)
            )
            error = f"the board {state} (at most {deadline_s:.0f} s):\n" + "\n".join(
                said
            )
            raise Pi3Error(error)
        found = (json.loads(line) for line in lines)
        return [Check(**one) for one in found if "name" in one]


def build(folder: Path, wheel: bytes, plan: Plan) -> Board:
    """Returns a board with a wheel of PiRack, and all that a plan needs.

    Args:
        folder: Where what belongs to this board alone is put.
        wheel: The wheel.
        plan: What it does once it is booted.
    """
    with ThreadPoolExecutor() as threads:
        parts = (_qemu, _linux, _debian, _libraries, _pytest)
        jobs = [threads.submit(part, plan) for part in parts]
    qemu, linux, debian, libraries, pytest = [job.result() for job in jobs]
    content = Initramfs()
    content.tree(debian, but=BUT_OF_DEBIAN)
    for name in ("proc", "sys", "dev", "tmp", "run", "etc", "var/lib"):
        content.folder(name)
    content.link("usr/bin/sh", "busybox")
    for module in sorted(linux.rglob("*.ko*")):
        data = module.read_bytes()
        data = lzma.decompress(data) if module.suffix == ".xz" else data
        content.file(f"modules/{module.stem.partition('.')[0]}.ko", data)
    _add_pirack(content, plan, folder, wheel, libraries)
    _add_checks(content)
    content.tree(pytest, f"{CHECKS}/lib", but=BUT_OF_PYTEST)
    init = INIT.format(
        files=" ".join(plan.files),
        drivers=",".join(plan.drivers),
        library=f"/opt/{plan.library}",
    )
    content.file("init", init, mode=0o755)
    if plan.library == "rpi-gpio":
        [line] = _locked("rpi-gpio")
        module = rpi_gpio.module(plan.suite, plan.python, line)
        content.tree(module / "RPi", "opt/rpi-gpio/RPi")
    content.write(folder / "initramfs")
    [kernel] = linux.glob("boot/vmlinuz-*")
    [device_tree] = linux.rglob(BOARD)
    shutil.copy(device_tree, folder / "board.dtb")
    _name_board(qemu, folder / "board.dtb")
    return Board(qemu, kernel, folder / "board.dtb", folder / "initramfs", plan.options)


def _qemu(_: Plan) -> Path:
    """Returns a folder with QEMU, and what changes device trees."""
    names = ("qemu-system-arm", "device-tree-compiler")
    return Packages("bookworm", native()).unpacked(*names)


def _linux(plan: Plan) -> Path:
    """Returns a folder with a kernel, some of its modules, and the device tree."""
    modules = tuple(f"*/{name}.ko*" for name in MODULES)
    return Packages(plan.suite, "arm64").unpacked(
        "linux-image-arm64",
        matching="linux-image-[0-9]*",
        files=("./boot/vmlinuz-*", f"*/{BOARD}", *modules),
    )


def _debian(plan: Plan) -> Path:
    """Returns a root with Python, whose standard library is compiled."""
    unpacked = Packages(plan.suite, "arm64").unpacked("python3", "busybox-static")

    def compiled(into: Path) -> None:
        shutil.copytree(unpacked, into, symlinks=True, dirs_exist_ok=True)
        _compile(into / f"usr/lib/python{plan.python}", into, plan)

    inputs = f"{unpacked.name} {HERE}".encode()
    return cached(CACHE, f"pi3-{plan.suite}", inputs, compiled)


def _libraries(plan: Plan) -> Path:
    """Returns a folder of libraries for the board, each in a folder of its own."""
    names = (*AGENT, *GPIOD, *(LGPIO if plan.library == "rpi-lgpio" else ()))
    wanted = _locked(*names)

    def download(into: Path) -> None:
        (into / "lock").write_text("\n".join(wanted))
        platforms = [f"--platform={name}_aarch64" for name in PLATFORMS]
        _run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--require-hashes", "--only-binary=:all:", "--python-version"),
            plan.python,
            *(*platforms, "--dest", str(into), "--requirement", str(into / "lock")),
        )
        for wheel in into.glob("*.whl"):
            name = wheel.name.partition("-")[0].replace("_", "-")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(into / name)
            wheel.unlink()
        _compile(into, into, plan)

    inputs = f"{wanted} {HERE}".encode()
    return cached(CACHE, f"pi3-libraries-{plan.python}", inputs, download)


def _locked(*names: str) -> list[str]:
    """Returns the lines of the lock file for some packages."""
    lines = LOCK.read_text().replace("\\\n", "").splitlines()
    return [line for line in lines if line.partition("==")[0] in names]


def _pytest(plan: Plan) -> Path:
    """Returns a folder with pytest as it is here."""
    found = [importlib.metadata.distribution(name) for name in (*PYTEST, *PLUGINS)]

    def copy(into: Path) -> None:
        for file in (file for one in found for file in one.files or ()):
            if file.suffix != ".pyc" and ".." not in file.parts:
                to = into / file
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(file.read_binary())
        _compile(into, into, plan)

    inputs = f"{[(one.name, one.version) for one in found]} {HERE}".encode()
    return cached(CACHE, f"pi3-pytest-{plan.python}", inputs, copy)


def _add_pirack(
    content: Initramfs, plan: Plan, folder: Path, wheel: bytes, libraries: Path
) -> None:
    """Adds PiRack as `pirack deploy` installs it, and beside it the other libraries."""
    site = f"{VENV}/lib/python{plan.python}/site-packages"
    own = folder / "pirack"
    (folder / "wheel").write_bytes(wheel)
    with zipfile.ZipFile(folder / "wheel") as archive:
        archive.extractall(own)
    _compile(own, own, plan)
    content.file(f"{VENV}/pyvenv.cfg", "home = /usr/bin\n")
    for name in ("python", "python3"):
        content.link(f"{VENV}/bin/{name}", "/usr/bin/python3")
    content.tree(own, site, but=("dashboard",))
    for name in (*AGENT, *GPIOD):
        content.tree(libraries / name, site)
    for name in LGPIO if plan.library == "rpi-lgpio" else ():
        content.tree(libraries / name, "opt/rpi-lgpio")
    [about] = own.glob("*.dist-info")
    found = importlib.metadata.Distribution.at(about).entry_points
    for script in found.select(group="console_scripts"):
        text = (
            f"#!/{VENV}/bin/python\nimport sys\n"
            f"from {script.module} import {script.attr}\nsys.exit({script.attr}())\n"
        )
        content.file(f"{VENV}/bin/{script.name}", text, mode=0o755)


def _add_checks(content: Initramfs) -> None:
    """Adds the checks, and what pytest is to know of them."""
    for folder in ("tests/system/power", "tests/system/machines/on_a_pi"):
        content.tree(PROJECT / folder, f"{CHECKS}/{folder}", but=("__pycache__",))
    content.file(f"{CHECKS}/pytest.ini", SETTINGS)
    for name in ("scripts/try-on-a-pi", "tests/gpio_stand_ins.py"):
        content.file(f"{CHECKS}/{name}", (PROJECT / name).read_bytes())


def _name_board(qemu: Path, device_tree: Path) -> None:
    """Says in a device tree which board this is, and where its light is."""

    def put(*words: str) -> None:
        _run(*program(qemu, "fdtput"), *words)

    path = str(device_tree)
    put("-t", "s", path, "/", "serial-number", SERIAL)
    put("-c", "-p", path, "/system")
    put("-t", "x", path, "/system", "linux,revision", REVISION)
    shown = _run(*program(qemu, "fdtget"), path, "/soc/gpio@7e200000", "phandle")
    put("-r", path, "/soc/serial@7e201000/bluetooth")  # else its line is no terminal
    put("-t", "u", path, "/leds/led-act", "gpios", shown.strip(), "29", "0")


def _compile(folder: Path, root: Path, plan: Plan) -> None:
    """Compiles a folder, where the board's Python can use this one's byte code."""
    if plan.python == HERE:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(
            folder, quiet=2, workers=0, stripdir=str(root), invalidation_mode=mode
        )


@contextlib.contextmanager
def _running(
    words: Sequence[str], output: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program, which has ended at the end, whatever happens."""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _run(*words: str) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        text = f"{' '.join(words[:4])} …: {done.stderr.strip()[-2000:]}"
        raise Pi3Error(text)
    return done.stdout


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="replace").replace("\r", "")
    except FileNotFoundError:
        return ""
