"""The way in: asyncssh, with our own key and our own pinned host keys.

Nothing of the person's ``~/.ssh`` is read: what works here works for the master too.
"""

import contextlib
import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh

from broker.common.errors import ConfigError
from provisioning.deploy import private_file
from provisioning.deploy.host_keys import HostKeys
from provisioning.deploy.target import Target
from provisioning.deploy.trouble import DeployError, Output, Trouble

KEY_NAME = "id_ed25519"
KEY_TYPE = "ssh-ed25519"
# Always the same order: a server with several keys must show the same one each time.
HOST_KEYS = (KEY_TYPE, "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
CONNECT_S = 10.0
KEEPALIVE_S = 5.0
"""Three unanswered ones end a connection: a board that lost power is not waited for."""


def read_key(path: Path) -> asyncssh.SSHKey:
    """Return a private key.

    Raises:
        ConfigError: It is missing, no key, or protected by a passphrase.
    """
    try:
        return asyncssh.read_private_key(path)
    except OSError as error:
        text = f"{path}: the SSH key cannot be read: {error.strerror}"
        raise ConfigError(text) from error
    except asyncssh.KeyImportError as error:  # a passphrase is one of its kinds
        text = f"{path}: is no private SSH key that can be used here: {error}"
        raise ConfigError(text) from error


def own_key(folder: Path) -> asyncssh.SSHKey:
    """Return our own key, made at the first use.

    Raises:
        ConfigError: It cannot be made, or the file is something else.
    """
    path = folder / KEY_NAME
    if not path.exists():
        try:
            _make_key(path)
        except OSError as error:
            text = f"{path}: the SSH key cannot be written: {error.strerror}"
            raise ConfigError(text) from error
    return read_key(path)


def _make_key(path: Path) -> None:
    """Make our key, unless another `pirack deploy` does so at this moment."""
    with private_file.alone(path.parent):
        if not path.exists():
            key = asyncssh.generate_private_key(KEY_TYPE, comment="pirack deploy")
            private_file.write(path, key.export_private_key())


def public_line(key: asyncssh.SSHKey) -> str:
    """Return the line for ``authorized_keys``."""
    return key.export_public_key().decode().strip()


class Ssh:
    """Opens ways into boards.

    Args:
        user: Who we are there.
        keys: What we show; the first that is taken is used.
        host_keys: What the boards have shown before.
        advice: What to do where no key is taken.
        pin: Keep the key of a board that is seen for the first time.
    """

    def __init__(
        self,
        user: str,
        keys: tuple[asyncssh.SSHKey, ...],
        host_keys: HostKeys,
        *,
        advice: str,
        pin: bool = True,
    ) -> None:
        self._user = user
        self._keys = keys
        self._host_keys = host_keys
        self._advice = advice
        self._pin = pin

    @contextlib.asynccontextmanager
    async def __call__(self, target: Target) -> AsyncIterator["_Shell"]:
        """Connect, and close behind whoever used it.

        Raises:
            DeployError: There is no way in; says why.
        """
        with self._told():
            client = _Client(self._host_keys.known(target.where))
        connection = await self._open(target, client)
        try:
            if self._pin:
                # Only now: a machine that does not let us in is none of ours.
                with self._told():
                    self._host_keys.pin(target.where, client.shown)
            yield _Shell(connection)
        finally:
            connection.abort()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Make what is wrong with the file of keys this board's trouble, not all's."""
        try:
            yield
        except OSError as error:
            file = self._host_keys.path
            text = f"the host keys in {file} cannot be read or kept: {error.strerror}"
            raise DeployError(Trouble.UNREACHABLE, text) from error

    async def _open(
        self, target: Target, client: "_Client"
    ) -> asyncssh.SSHClientConnection:
        try:
            return await asyncssh.connect(
                target.host,
                target.port,
                username=self._user,
                client_keys=list(self._keys),
                client_factory=lambda: client,
                known_hosts=([], [], []),
                server_host_key_algs=list(HOST_KEYS),
                preferred_auth="publickey",
                agent_path=None,
                config=None,
                connect_timeout=CONNECT_S,
                login_timeout=CONNECT_S,
                keepalive_interval=KEEPALIVE_S,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            raise self._changed(target, client) from error
        except asyncssh.PermissionDenied as error:
            text = f"it does not let {self._user!r} in with our key; {self._advice}"
            raise DeployError(Trouble.PERMISSION, text) from error
        except (OSError, asyncssh.Error) as error:
            text = f"no SSH at {target.host} port {target.port}: {_words(error)}"
            starting = isinstance(error, ConnectionRefusedError)
            raise DeployError(Trouble.UNREACHABLE, text, starting=starting) from error

    def _changed(self, target: Target, client: "_Client") -> DeployError:
        text = (
            f"{target.where} shows another host key than before ({client.fingerprint}):"
            " a new card or a board that was exchanged, or somebody in between. If you "
            f"know why: pirack deploy --forget-key {target.label}"
        )
        return DeployError(Trouble.HOST_KEY, text)


class _Client(asyncssh.SSHClient):
    """Judges the host key.

    Args:
        known: The pinned one, ``type base64``; empty for none.
    """

    def __init__(self, known: str) -> None:
        self._known = known
        self.shown = ""
        self.fingerprint = ""

    def validate_host_public_key(
        self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Whether this is the key that was seen before, or the first one."""
        words = key.export_public_key().decode().split()
        self.shown = " ".join(words[:2])
        self.fingerprint = key.get_fingerprint()
        return self._known in {"", self.shown}


class _Shell:
    """An open connection."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    async def run(self, command: str, feed: bytes = b"") -> Output:
        """Run a command line there and return what it said.

        Raises:
            DeployError: The connection ended.
        """
        try:
            done = await self._connection.run(
                command, input=feed, encoding=None, check=False
            )
        except (OSError, asyncssh.Error) as error:
            text = f"the connection ended: {_words(error)}"
            raise DeployError(Trouble.LOST, text) from error
        return Output(
            code=done.exit_status, stdout=_text(done.stdout), stderr=_text(done.stderr)
        )


def _words(error: Exception) -> str:
    """Return why, without what only a programmer reads."""
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # of the resolver
    return str(error) or "no answer"


def _text(said: asyncssh.BytesOrStr | None) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said or ""
