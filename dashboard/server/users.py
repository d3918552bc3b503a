"""Who may sign in: scrypt hashes in a file of mode 0600, read again when it changes."""

import enum
import hashlib
import hmac
import logging
import os
import secrets
import string
from collections.abc import Callable
from pathlib import Path

import msgspec

from broker.common.atomic import put_aside, replace
from broker.common.errors import ConfigError

log = logging.getLogger(__name__)

_SCRYPT_N = 2**14
_SCRYPT_R = 8
_SCRYPT_P = 1
_SALT_BYTES = 16
_MAX_MEMORY_BYTES = 64 * 1024 * 1024
_PASSWORD_LETTERS = string.ascii_lowercase.replace("l", "") + "23456789"
_PASSWORD_GROUPS = 4
_PASSWORD_GROUP_LENGTH = 4
_MAX_PASSWORD_CHARACTERS = 256


class PageRole(enum.StrEnum):
    """What a person may do; each role may all that the one before may."""

    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Ask nodes for something, reboot and shut down."""
    ADMIN = "admin"
    """Everything."""

    def may(self, needed: "PageRole") -> bool:
        """Whether this role is at least ``needed``."""
        order = list(PageRole)
        return order.index(self) >= order.index(needed)


class PageUser(msgspec.Struct, frozen=True, kw_only=True):
    """One person who may sign in.

    Args:
        salt: Hex.
        digest: scrypt of the password, hex.
        stamp: Random, new with every password: sessions carry it, so a changed or
            deleted password ends them all.
    """

    name: str
    role: PageRole
    salt: str
    digest: str
    stamp: str


class _File(msgspec.Struct, frozen=True):
    """The users file."""

    users: tuple[PageUser, ...] = ()


def generate_password() -> str:
    """Returns a password that can be read aloud: 16 letters, about 80 bits."""
    return "-".join(
        "".join(
            secrets.choice(_PASSWORD_LETTERS) for _ in range(_PASSWORD_GROUP_LENGTH)
        )
        for _ in range(_PASSWORD_GROUPS)
    )


def _digest(password: str, salt: str) -> str:
    return hashlib.scrypt(
        password.encode(),
        salt=bytes.fromhex(salt),
        n=_SCRYPT_N,
        r=_SCRYPT_R,
        p=_SCRYPT_P,
        maxmem=_MAX_MEMORY_BYTES,
    ).hex()


def make_user(name: str, role: PageRole, password: str) -> PageUser:
    """Returns a user with a fresh salt and stamp."""
    salt = secrets.token_hex(_SALT_BYTES)
    return PageUser(
        name=name,
        role=role,
        salt=salt,
        digest=_digest(password, salt),
        stamp=secrets.token_hex(8),
    )


class Users:
    """The users file; a change on disk is seen at the next look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._users: dict[str, PageUser] = {}
        self._logged = ""
        self._nobody = make_user("", PageRole.VIEWER, secrets.token_hex())

    def get(self, name: str) -> PageUser | None:
        """Returns the user of that name, or None.

        Raises:
            ConfigError: The file cannot be read or is not ours.
        """
        self._refresh()
        return self._users.get(name)

    def all(self) -> tuple[PageUser, ...]:
        """Returns every user.

        Raises:
            ConfigError: The file cannot be read or is not ours.
        """
        self._refresh()
        return tuple(self._users.values())

    def verify(self, name: str, password: str) -> PageUser | None:
        """Returns the user if the password is theirs.

        Takes as long for an unknown name as for a wrong password.

        Raises:
            ConfigError: The file cannot be read or is not ours.
        """
        found = self.get(name)
        user = found or self._nobody
        given = _digest(password[:_MAX_PASSWORD_CHARACTERS], user.salt)
        return found if hmac.compare_digest(given, user.digest) else None

    def session(self, name: str, stamp: str) -> PageUser | None:
        """Returns the user a session belongs to, or None if it was revoked.

        While the file is broken there is no user; that is logged once.
        """
        try:
            user = self.get(name)
        except ConfigError as error:
            if self._logged != str(error):
                log.error("nobody can sign in: %s", error)  # noqa: TRY400  # the text says all
            self._logged = str(error)
            return None
        self._logged = ""
        if user is None or not hmac.compare_digest(user.stamp, stamp):
            return None
        return user

    def mend(self) -> bool:
        """Puts a torn file aside, so that a new one is made; returns whether it did.

        Only at a start, before anybody signs in. A file with a mistake in it, made by
        hand, stays where it is.

        Raises:
            ConfigError: The file cannot be read.
            OSError: It cannot be put aside.
        """
        try:
            msgspec.json.decode(self._path.read_bytes())
        except FileNotFoundError:
            return False
        except msgspec.DecodeError as error:
            put_aside(self._path, error, "a new administrator is made, all others go")
            self._seen = None
            return True
        except OSError as error:
            text = f"{self._path}: cannot be read: {error}"
            raise ConfigError(text) from error
        return False

    def put(self, user: PageUser) -> None:
        """Adds a user, or replace the one of that name.

        Raises:
            OSError: The file cannot be written.
        """
        self._refresh()
        self._users[user.name] = user
        self._path.parent.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.encode(_File(tuple(self._users.values())))
        owner = (self._path if self._path.exists() else self._path.parent).stat()
        replace(self._path, msgspec.json.format(content, indent=2))
        if os.geteuid() == 0:  # made with sudo, read by the dashboard's own user
            os.chown(self._path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        self._seen = None

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._users, self._seen = {}, None
            return
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen == self._seen:
            return
        self._users = {user.name: user for user in _read(self._path).users}
        self._seen = seen


def _read(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        text = (
            f"{path}: not a users file: {error}; "
            "restore it, or delete it and run pirack up"
        )
        raise ConfigError(text) from error


def ensure_admin(
    path: Path, *, name: str = "admin", password: Callable[[], str] = generate_password
) -> str | None:
    """Creates the first administrator if there is nobody yet.

    Args:
        name: Sign-in name of the administrator.
        password: Makes the password.

    Returns:
        The generated password, told this once; None if there are users already.

    Raises:
        ConfigError: The file exists and is not ours.
        OSError: The file cannot be written.
    """
    users = Users(path)
    users.mend()
    if users.all():
        return None
    secret = password()
    users.put(make_user(name, PageRole.ADMIN, secret))
    log.info("created the administrator %s in %s", name, path)
    return secret
