"""Passwords: read from files of mode 0600, made at random, written atomically."""

import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from broker.atomic import replace
from broker.endpoint import Endpoint
from broker.errors import ConfigError
from broker.settings import BrokerSettings

log = logging.getLogger(__name__)

PASSWORD_BYTES = 24
VARIABLE = "PIRACK_CREDENTIALS"
"""Path of a credentials file that outweighs ``[broker] credentials``: so can services
that share one ``pirack.toml`` each sign in as themselves."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a credentials file; its ``repr`` hides the password.

    Args:
        username: As the broker knows it.
        password: Its secret.
    """

    username: str
    password: str

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"Credentials({self.username})"


def generate_password() -> str:
    """Return a password of 192 random bits, safe in URLs, files and shells."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def read(path: Path) -> Credentials:
    """Read a credentials file; one that others can read is used, with a warning.

    Raises:
        ConfigError: It is missing, cannot be read, or holds something else.
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
        text = f"{path}: is no credentials file: {error}; {_RIGHT}"
        raise ConfigError(text) from error


_RIGHT = 'it must hold {"username": "…", "password": "…"} and have mode 0600'


def write(path: Path, credentials: Credentials) -> None:
    """Write a credentials file, mode 0600, in one step.

    Raises:
        OSError: Its directory cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(credentials), indent=2)
    replace(path, text + b"\n", mode=0o600)


def endpoint(
    settings: BrokerSettings, environment: Mapping[str, str] = os.environ
) -> Endpoint:
    """Return what ``[broker]`` describes, with the secret from its file.

    Args:
        settings: ``[broker]``.
        environment: Of the process; may name another credentials file.

    Raises:
        ConfigError: The credentials file cannot be used.
    """
    named = environment.get(VARIABLE) or settings.credentials
    found = read(Path(named)) if named else Credentials(username="", password="")
    return Endpoint(
        host=settings.host,
        port=settings.port,
        username=found.username,
        password=found.password,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        keepalive_s=settings.keepalive_s,
    )
