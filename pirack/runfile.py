"""``run.json``: where a running ``pirack up`` says how to reach it.

It is there while the rack runs and gone when it stops, so that scripts and the other
sub-commands need no options. It holds passwords: mode 0600, in a directory of 0700.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from broker.common.atomic import put_aside, replace
from broker.common.errors import ConfigError

DATA_VARIABLE = "PIRACK_DATA"
DEFAULT_DATA = Path(".pirack")
RUN_FILE = "run.json"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who may sign in to the page."""

    username: str
    password: str


class MqttAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker listens and as whom a person signs in."""

    host: str
    port: int
    username: str
    password: str


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a script needs to use a running rack.

    Args:
        rack: Name, part of every topic.
        url: Of the page.
        login: For the page.
        mqtt: The operator's access to the broker.
        pids: Process ids: ``supervisor`` and each part by name.
        tools: Directory of option files for ``XDG_CONFIG_HOME=… mosquitto_pub``.
        config: The ``pirack.toml`` it was started with; empty for none.
    """

    rack: str
    url: str
    login: Login
    mqtt: MqttAccess
    pids: dict[str, int]
    tools: str = ""
    config: str = ""

    def uses(self, config: Path) -> bool:
        """Returns whether this rack was started with a configuration file."""
        return bool(self.config) and Path(self.config) == config.resolve()


def data_directory(given: Path | None = None) -> Path:
    """Returns the data directory: as given, else ``$PIRACK_DATA``, else ``.pirack``."""
    return given or Path(os.environ.get(DATA_VARIABLE) or DEFAULT_DATA)


def write(data: Path, run: RunFile) -> None:
    """Writes ``run.json``, readable by its owner only.

    Raises:
        OSError: The directory cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(run), indent=2)
    replace(data / RUN_FILE, text + b"\n", mode=0o600)


def read(data: Path) -> RunFile | None:
    """Returns what a running ``pirack up`` says; None when none runs here.

    A file left behind by a supervisor that was killed counts as none.

    Raises:
        ConfigError: The file is there but cannot be read.
    """
    path = data / RUN_FILE
    try:
        run = msgspec.json.decode(path.read_bytes(), type=RunFile)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        owner = f"it belongs to {_owner(data)}, who alone may ask this rack"
        text = f"{path}: cannot be read: {owner}; be that user, or use sudo"
        raise ConfigError(text) from error
    except msgspec.MsgspecError as error:
        # A rack that runs has a whole one: this is of one that lost its power.
        put_aside(path, error, "no rack is taken to run here")
        return None
    except OSError as error:
        text = f"{path}: cannot be read: {error}"
        raise ConfigError(text) from error
    return run if is_alive(run.pids.get("supervisor", 0)) else None


def remove(data: Path) -> None:
    """Removes ``run.json``; that it is gone already is fine."""
    with contextlib.suppress(FileNotFoundError):
        (data / RUN_FILE).unlink()


def is_alive(pid: int) -> bool:
    """Returns whether a process has this id."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _owner(path: Path) -> str:
    """Returns the name of the user a path belongs to, its number if it has none."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
