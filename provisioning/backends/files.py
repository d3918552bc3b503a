"""What all our own servers share: folders, files, and the program's own judgement."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.common import atomic
from provisioning.backends import program
from provisioning.errors import BackendError, RefusedError

TEST_S = 20.0
FOLDERS = ("/usr/sbin", "/sbin")
"""Of system programs; not in everybody's ``PATH``."""
READABLE = 0o644
"""Servers read their files as users of their own; nothing in them is secret."""


def find(name: str, package: str) -> str:
    """Return the path of a server program; system folders are searched too.

    Raises:
        BackendError: It is not installed; the text says how to.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    found = shutil.which(name, path=path)
    if found is None:
        text = f"{name} is not installed; way out: sudo apt-get install {package}"
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


async def write(path: Path, text: str) -> None:
    """Replace a file; in a thread, for a card may take a second to sync.

    Raises:
        BackendError: It cannot be written.
    """
    try:
        await asyncio.to_thread(atomic.replace, path, text.encode(), mode=READABLE)
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
        BackendError: It cannot be run, or does not end.
    """
    code, said = await program.run(argv, TEST_S, environment)
    if code:
        words = " ".join(said.split())[-400:]
        text = f"{argv[0]} refuses the configuration: {words}"
        raise RefusedError(text)
