"""What all our own servers share: programs, folders, files, the served reservations."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from broker.common import atomic
from broker.common.processes import run_once
from provisioning.common.errors import BackendError, ConfigurationRefusedError
from provisioning.common.subnet import Reservation

TEST_S = 20.0
KEPT_BYTES = 16 * 1024
"""Of the output of a program."""
FOLDERS = ("/usr/sbin", "/sbin")
"""Of system programs; not in everybody's ``PATH``."""
READABLE = 0o644
"""Servers read their files as users of their own; nothing in them is secret."""


def find(name: str, package: str) -> str:
    """Returns the path of a server program; system folders are searched too.

    Raises:
        BackendError: It is not installed; the text says how to.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS])
    found = shutil.which(name, path=path)
    if found is None:
        text = (
            f"{name} is not installed; install it with: sudo apt-get install {package}"
        )
        raise BackendError(text)
    return found


async def run(
    argv: Sequence[str],
    within_s: float,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Returns a program's exit code and the end of its output.

    Args:
        within_s: Seconds until it is killed.

    Raises:
        BackendError: It cannot be run, or takes longer.
    """
    env = {**os.environ, **(environment or {})}
    finished = await run_once(
        argv, within_s, env=env, stdout_bytes=KEPT_BYTES, merged=True
    )
    if finished.timed_out:
        text = f"{' '.join(argv)} did not end within {within_s:g} s"
        raise BackendError(text)
    if finished.exit_code is None:
        raise BackendError(finished.error)
    return finished.exit_code, finished.stdout.strip()


def make_folder(folder: Path) -> None:
    """Makes a folder that servers can read.

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
    """Replaces a file; in a thread, for a card may take a second to sync.

    Raises:
        BackendError: It cannot be written.
    """
    try:
        await asyncio.to_thread(atomic.replace, path, text.encode(), mode=READABLE)
    except OSError as error:
        words = f"{path} cannot be written: {error.strerror}"
        raise BackendError(words) from error


def read(path: Path) -> str | None:
    """Returns a file's text; None when there is none.

    Servers write names as boards say them: bytes that are not text stop nothing.
    """
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


async def replace_tested(
    path: Path,
    text: str,
    test: Callable[[Path], Sequence[str]],
    environment: Mapping[str, str] | None = None,
) -> bool:
    """Replaces a configuration once the server accepts it; returns whether it changed.

    A file Kea finds wrong must never be loaded: Kea 2.2 then serves no board until a
    good one is (measured).

    Args:
        test: Returns the command that tests a draft of it.

    Raises:
        ConfigurationRefusedError: The program finds it wrong; the text has its words.
        BackendError: The program cannot be run, or the file not be written.
    """
    if read(path) == text:
        return False
    draft = path.with_name(f"{path.name}.draft")
    await write(draft, text)
    argv = test(draft)
    try:
        code, said = await run(argv, TEST_S, environment)
    finally:
        draft.unlink(missing_ok=True)
    if code:
        words = " ".join(said.split())[-400:]
        error = f"{argv[0]} refuses the configuration: {words}"
        raise ConfigurationRefusedError(error)
    await write(path, text)
    return True


class _Content(msgspec.Struct, frozen=True):
    served: tuple[Reservation, ...] = ()


class ReservationFile:
    """The set of reservations that is served, in one file.

    Args:
        path: The file; its folder must exist once ``write`` is called.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Reservation, ...]:
        """Returns the set that is served; empty when none ever was.

        Raises:
            BackendError: The file cannot be read; a damaged one is put aside instead.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Content).served
        except FileNotFoundError:
            return ()
        except msgspec.MsgspecError as error:
            lost = "`install undo` has nothing to go back to"
            atomic.put_aside(self._path, error, lost)
            return ()
        except OSError as error:
            text = f"{self._path} cannot be read: {error}; move it away to begin again"
            raise BackendError(text) from error

    async def write(self, rows: tuple[Reservation, ...]) -> None:
        """Keeps a set as the served one.

        Raises:
            BackendError: It cannot be written.
        """
        if rows != self.read():
            text = msgspec.json.encode(_Content(served=rows)).decode()
            await write(self._path, text)
