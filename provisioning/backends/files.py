"""What all our own servers share: folders, files, and the program's own judgement."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker import atomic
from provisioning.errors import BackendError, RefusedError

TEST_S = 20.0
FOLDERS = ("/usr/sbin", "/sbin")
"""Of system programs; not in everybody's ``PATH``."""
READABLE = 0o644
"""Servers read their files as users of their own; nothing in them is secret."""


def find(program: str, package: str) -> str:
    """Return the path of a server program; system folders are searched too.

    Raises:
        BackendError: It is not installed; the text says how to.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    found = shutil.which(program, path=path)
    if found is None:
        text = f"{program} is not installed; way out: sudo apt-get install {package}"
        raise BackendError(text)
    return found


def make_folder(folder: Path) -> None:
    """Make a folder that servers can read.

    Raises:
        BackendError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    except OSError as error:
        text = f"{folder} cannot be made: {error.strerror}"
        raise BackendError(text) from error


def write(path: Path, text: str) -> None:
    """Replace a configuration file.

    Raises:
        BackendError: It cannot be written.
    """
    try:
        atomic.replace(path, text.encode(), mode=READABLE)
    except OSError as error:
        words = f"{path} cannot be written: {error.strerror}"
        raise BackendError(words) from error


def read(path: Path) -> str | None:
    """Return a file's text; None when there is none.

    Servers write names as boards say them: what is no text must stop nobody.
    """
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


async def judge(
    argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Let a server program judge a configuration before it is put in place.

    Args:
        argv: Program and arguments.
        environment: Variables it needs beside ours.

    Raises:
        RefusedError: It finds it wrong; the text has its words.
        BackendError: It cannot be run.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        said, _ = await asyncio.wait_for(process.communicate(), TEST_S)
    except (OSError, TimeoutError) as error:
        text = f"{argv[0]} cannot check its configuration: {error}"
        raise BackendError(text) from error
    if process.returncode:
        words = " ".join(said.decode(errors="replace").split())[-400:]
        text = f"{argv[0]} refuses the configuration: {words}"
        raise RefusedError(text)
