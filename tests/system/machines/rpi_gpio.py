"""Builds RPi.GPIO itself, a module in C of which there is no wheel, for the board.

Its source is what the lock file names. The compiler runs here and makes code for the
board: Debian's cross compiler, with headers of the board's Python, all unpacked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.system.machines.packages import (
    CACHE,
    DEADLINE_S,
    Packages,
    PackagesError,
    cached,
    native,
    program,
)

COMPILER = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
GLIBC = ("libc.", "libm.", "ld-", "libdl.", "libpthread.", "librt.", "libmvec.")
"""What the programs of a compiler take from this machine, whose loader runs them."""


def module(suite: str, python: str, lock: str) -> Path:
    """Returns a folder with RPi.GPIO for an aarch64 board, to be put on its path.

    Args:
        suite: The Debian of the board.
        python: Its Python, for example ``3.11``.
        lock: The line of a lock file with its version and hashes.
    """
    inputs = repr((suite, python, lock)).encode() + Path(__file__).read_bytes()
    return cached(
        CACHE,
        f"rpi-gpio-{python}",
        inputs,
        lambda into: _make(into, suite, python, lock),
    )


def _make(into: Path, suite: str, python: str, lock: str) -> None:
    compiler = Packages("bookworm", native()).unpacked(*COMPILER)
    headers = Packages(suite, "arm64").unpacked(
        f"libpython{python}-dev",
        matching=f"libpython{python}-dev",
        files=("./usr/include/*",),
    )
    source = _source(into, lock)
    (into / "RPi").mkdir()
    for file in (source / "RPi").glob("**/*.py"):
        to = into / file.relative_to(source)
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(file.read_bytes())
    libraries = into / "libraries"
    libraries.mkdir()
    for library in compiler.glob("usr/lib/*-linux-gnu/*.so*"):
        if not library.name.startswith(GLIBC):
            (libraries / library.name).symlink_to(library)
    number = python.replace(".", "")
    include = headers / "usr/include"
    _run(
        *program(compiler, "aarch64-linux-gnu-gcc"),
        *(f"--sysroot={compiler}", "-O2", "-fPIC", "-shared", "-fcommon", "-w"),
        *(f"-I{include}/python{python}", f"-I{include}"),
        *("-o", str(into / f"RPi/_GPIO.cpython-{number}-aarch64-linux-gnu.so")),
        *map(str, sorted((source / "source").glob("*.c"))),
        environment={"LD_LIBRARY_PATH": str(libraries)},
    )


def _source(into: Path, lock: str) -> Path:
    (into / "lock").write_text(lock)
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--no-binary=:all:", "--require-hashes", "--dest", str(into)),
        *("--requirement", str(into / "lock")),
    )
    [archive] = into.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(into / "source", filter="data")
    [source] = (into / "source").iterdir()
    return source


def _run(*words: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env=os.environ | (environment or {}),
    )
    if done.returncode:
        text = f"RPi.GPIO cannot be built: {done.stderr.strip()[-2000:]}"
        raise PackagesError(text)
