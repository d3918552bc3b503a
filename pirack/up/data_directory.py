"""The data directory of ``pirack up``: where everything is, made and locked for one."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import ConfigError
from pirack import runfile
from pirack.rack_config import UP_FILE

LOCK_FILE = "lock"


class DataDirectory:
    """The paths of one rack in a data directory.

    What a simulated rack leaves behind (names, places, events, retained state) is kept
    apart for each rack and shape, so that it never mixes with a real one.

    Args:
        key: Names rack and shape: ``lab``, or ``lab-12x4`` for a simulated one.
    """

    def __init__(self, data: Path, key: str) -> None:
        self.secrets = data / "secrets"
        """Passwords of the MQTT users and of the page's administrator."""
        self.simulated = self.secrets / "simulated.json"
        """Passwords of the simulated nodes: ``{id: password}``."""
        self.configuration = data / "etc"
        """The rendered configuration of each part."""
        self.enrol = data / UP_FILE
        """What `pirack node` reads; there only where Pis can join."""
        self.tls = data / "tls"
        self.agent = data / "agent"
        """This machine's agent: ids of destructive orders."""
        self.dashboard = data / "dashboard"
        """Users and session secret of the page."""
        self.state = data / "racks" / key
        """What this rack and shape remember."""
        self.broker = self.state / "broker"
        """The broker's configuration and store."""
        self.master = self.state / "master"
        self.install = self.state / "install"
        """Where boards were found, and what the DHCP server was told."""

    def credentials(self, user: str) -> Path:
        """Returns the file with a user's name and password."""
        return self.secrets / f"{user}.json"

    def part(self, name: str) -> Path:
        """Returns the configuration file of a part."""
        return self.configuration / f"{name}.toml"

    def make_directories(self) -> None:
        """Makes every directory that must exist.

        Raises:
            OSError: One cannot be made.
        """
        for directory in (
            self.secrets,
            self.tls,
            self.configuration,
            self.state.parent,
            self.state,
            self.broker,
            self.master,
            self.agent,
            self.dashboard,
        ):
            directory.mkdir(mode=0o700, exist_ok=True)


def make(data: Path) -> None:
    """Makes a data directory, for its owner only.

    One that holds other things keeps its mode: it may be ``/tmp``. What is secret is in
    directories and files of its own.

    Raises:
        ConfigError: It cannot be made or written.
    """
    if data.exists() and not data.is_dir():
        text = f"{data}: is a file; give a directory with --data DIR or $PIRACK_DATA"
        raise ConfigError(text)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (data / LOCK_FILE).exists() or not any(data.iterdir()):
            data.chmod(0o700)
        if os.access(data, os.W_OK | os.X_OK):
            return
        read_only = os.statvfs(data).f_flag & os.ST_RDONLY
        refused = errno.EROFS if read_only else errno.EACCES
    except OSError as error:
        refused = error.errno or errno.EACCES
    text = (
        f"{data}: cannot be written: {os.strerror(refused)}. Give another directory "
        "with --data DIR or $PIRACK_DATA"
    )
    ours = data.exists() and data.name == runfile.DEFAULT_DATA.name
    if ours and refused != errno.EROFS:  # another owner cannot write there either
        text += f", or make this one yours: sudo chown -R $(id -un) {data}"
    raise ConfigError(text)


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    """Locks a data directory for as long as the block runs.

    The kernel unlocks it when the process ends, however it ends; a file left behind
    means nothing.

    Raises:
        ConfigError: Another process holds it, or the directory cannot be written.
    """
    path = data / LOCK_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        text = f"{path}: cannot be written: {error.strerror}"
        raise ConfigError(text) from error
    try:
        _lock(handle, data)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, data: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        text = (
            f"another `pirack up` (process {holder or 'unknown'}) uses {data}; "
            "stop it, or give this one a directory of its own with --data DIR"
        )
        raise ConfigError(text) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
