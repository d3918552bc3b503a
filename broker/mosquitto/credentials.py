"""Passwords: read from files of mode 0600, made at random, written atomically."""

import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from broker.client.endpoint import Endpoint
from broker.common.atomic import replace
from broker.common.config import BrokerSettings
from broker.common.errors import ConfigError, DamagedFileError

log = logging.getLogger(__name__)

PASSWORD_BYTES = 24
CLIENT_ID_BYTES = 5
"""Five thousand guesses a second need three years for half of the possible values; and
with the id of a node it stays within the 23 characters that every broker accepts."""
VARIABLE = "PIRACK_CREDENTIALS"
"""Path of a credentials file that outweighs ``[broker] credentials``: so can services
that share one ``pirack.toml`` each sign in as themselves."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a credentials file; its ``repr`` hides the password.

    Args:
        username: As the broker knows it.
        password: Its secret.
        client_id: The client id that the broker demands of this user, hard to guess;
            empty for a user that may choose one, and for nodes and services that were
            set up before client ids had a random part.
    """

    username: str
    password: str
    client_id: str = ""

    def __repr__(self) -> str:
        """Returns what may stand in a log."""
        return f"Credentials({self.username})"


def generate_client_id(username: str) -> str:
    """Returns a client id that others cannot guess, for a node or a service.

    A client that connects with the client id of another one ends that one's connection,
    with any password. Only the broker's administrator can read this id.
    """
    return f"{username}-{secrets.token_hex(CLIENT_ID_BYTES)}"


def derive_client_id(username: str, password: str) -> str:
    """Returns such a client id for a simulated board, of which only a password is kept.

    It says nothing about the password, which has 192 random bits.
    """
    digest = hashlib.sha256(f"client id\0{username}\0{password}".encode()).hexdigest()
    return f"{username}-{digest[: 2 * CLIENT_ID_BYTES]}"


def generate_password() -> str:
    """Returns a password of 192 random bits, safe in URLs, files and shells."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def read(path: Path) -> Credentials:
    """Reads a credentials file; one that others can read is used, with a warning.

    Raises:
        ConfigError: It is missing or cannot be read.
        DamagedFileError: It holds something else.
    """
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        text = f"{path}: credentials cannot be read: {error.strerror}; {_RIGHT}"
        raise ConfigError(text) from error
    if mode & _OTHERS:
        log.warning(
            "%s: mode %o lets others read the password; do: chmod 600 %s",
            path,
            stat.S_IMODE(mode),
            path,
        )
    try:
        return msgspec.json.decode(content, type=Credentials)
    except msgspec.MsgspecError as error:
        text = f"{path}: is not a credentials file: {error}; {_RIGHT}"
        raise DamagedFileError(text) from error


_RIGHT = 'it must hold {"username": "…", "password": "…"} and have mode 0600'


def write(path: Path, credentials: Credentials) -> None:
    """Writes a credentials file, mode 0600, in one step.

    Raises:
        OSError: Its directory cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(credentials), indent=2)
    replace(path, text + b"\n", mode=0o600)


def endpoint(
    settings: BrokerSettings, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """Returns what ``[broker]`` describes, with the secret from its file.

    Args:
        settings: ``[broker]``.
        environment: Of the process; may name another credentials file.

    Raises:
        ConfigError: The credentials file cannot be used.
    """
    named = environment.get(VARIABLE) or settings.credentials
    found = read(Path(named)) if named else Credentials(username="", password="")
    return _endpoint(settings, found)


def beside(
    settings: BrokerSettings, suffix: str, environment: Mapping[str, str] = os.environ
) -> Endpoint | None:
    """Returns the same broker as another user of the same service.

    Args:
        settings: ``[broker]``.
        suffix: ``operator`` for ``dashboard-operator.json`` beside ``dashboard.json``.
        environment: As of ``endpoint``.

    Returns:
        None where there is no such file: in a rack that was set up by an earlier
        release, and on a broker that is not ours.

    Raises:
        ConfigError: The credentials file cannot be used.
    """
    named = environment.get(VARIABLE) or settings.credentials
    path = Path(named).with_name(f"{Path(named).stem}-{suffix}.json") if named else None
    if path is None or not path.exists():
        return None
    return _endpoint(settings, read(path))


def _endpoint(settings: BrokerSettings, found: Credentials) -> Endpoint:
    return Endpoint(
        host=settings.host,
        port=settings.port,
        username=found.username,
        password=found.password,
        client_id=found.client_id,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        keepalive_s=settings.keepalive_s,
    )
