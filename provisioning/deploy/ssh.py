"""SSH connections to boards: asyncssh, our own key, host keys pinned at first sight.

Nothing of the person's ``~/.ssh`` is read: what works here works for the master too.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh

from broker.common.atomic import replace
from broker.common.errors import ConfigError
from provisioning.deploy.remote import Output
from provisioning.deploy.report import DeployError, Target, Trouble

FILE_NAME = "known_hosts"
KEY_NAME = "id_ed25519"
KEY_TYPE = "ssh-ed25519"
# Always the same order: a server with several keys must show the same one each time.
HOST_KEYS = (KEY_TYPE, "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
CONNECT_S = 10.0
KEEPALIVE_S = 5.0
"""Three unanswered ones end a connection: a board that lost power is not waited for."""


def read_key(path: Path) -> asyncssh.SSHKey:
    """Returns a private key.

    Raises:
        ConfigError: It is missing, not a key, or protected by a passphrase.
    """
    try:
        return asyncssh.read_private_key(path)
    except OSError as error:
        text = f"{path}: the SSH key cannot be read: {error.strerror}"
        raise ConfigError(text) from error
    except asyncssh.KeyImportError as error:  # a passphrase is one of its kinds
        text = f"{path}: is not a private SSH key that can be used here: {error}"
        raise ConfigError(text) from error


def own_key(folder: Path) -> asyncssh.SSHKey:
    """Returns our own key, made at the first use.

    Raises:
        ConfigError: It cannot be made, or the file is not a key.
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
    """Makes our key, unless another `pirack deploy` does so at this moment."""
    with lock_folder(path.parent):
        if not path.exists():
            key = asyncssh.generate_private_key(KEY_TYPE, comment="pirack deploy")
            write_private(path, key.export_private_key())


def public_line(key: asyncssh.SSHKey) -> str:
    """Returns the line for ``authorized_keys``."""
    return key.export_public_key().decode().strip()


class HostKeys:
    """The pinned keys of boards, as ``known_hosts`` of OpenSSH: one line a board.

    Args:
        path: The file; made when the first key is pinned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, where: str) -> str:
        """Returns the pinned key of a board, ``type base64``; empty: it has none.

        Args:
            where: Host, or ``[host]:port``.
        """
        keys = (key for name, key in self._lines() if name == where)
        return next(keys, "")

    def pin(self, where: str, key: str) -> None:
        """Pins a board's key; one that is pinned already stays.

        Raises:
            OSError: The file cannot be written.
        """
        if self.known(where):
            return
        with lock_folder(self.path.parent):
            if not self.known(where):
                self._write([*self._lines(), (where, key)])

    def forget(self, where: str) -> bool:
        """Removes a board's key; returns whether there was one.

        Raises:
            OSError: The file cannot be written.
        """
        if not self.known(where):
            return False
        with lock_folder(self.path.parent):
            self._write([(name, key) for name, key in self._lines() if name != where])
        return True

    def _lines(self) -> Iterator[tuple[str, str]]:
        # Read each time: another `pirack deploy` may have pinned one meanwhile.
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            name, _, key = line.strip().partition(" ")
            if key and not name.startswith("#"):
                yield name, key

    def _write(self, lines: list[tuple[str, str]]) -> None:
        text = "".join(f"{name} {key}\n" for name, key in lines)
        write_private(self.path, text.encode())


class Ssh:
    """Opens connections to boards.

    Args:
        user: Our user there.
        keys: Our keys; the first that is accepted is used.
        host_keys: The pinned keys of the boards.
        advice: What to do where no key is accepted.
        pin: Pin the key of a board that is seen for the first time.
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
        """Connects, and closes the connection at the end.

        Raises:
            DeployError: It cannot connect.
        """
        with self._file_errors():
            client = _Client(self._host_keys.known(target.where))
        connection = await self._open(target, client)
        try:
            if self._pin:
                # Only now: a machine that does not let us in is not ours.
                with self._file_errors():
                    self._host_keys.pin(target.where, client.shown)
            yield _Shell(connection)
        finally:
            connection.abort()

    @contextlib.contextmanager
    def _file_errors(self) -> Iterator[None]:
        """Turns an error of the key file into the failure of one board, not of all."""
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
            " a new card, a board that was exchanged, or a machine in between. If you "
            f"know why: pirack deploy --forget-key {target.label}"
        )
        return DeployError(Trouble.HOST_KEY, text)


class _Client(asyncssh.SSHClient):
    """Compares the host key with the pinned one, which is empty at first sight."""

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
        """Runs a command line there and returns its output.

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
    """Returns the reason, without what only a programmer reads."""
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # of the resolver
    return str(error) or "no answer"


def _text(said: asyncssh.BytesOrStr | None) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said or ""


# --- files for their owner only -------------------------------------------------------


def write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600, in one step, for the owner of its folder.

    ``sudo pirack deploy`` and the master, a user of its own, share such files.

    Args:
        path: The file; its folder is made when it is missing.

    Raises:
        OSError: It cannot be written.
    """
    _make(path.parent)
    replace(path, content, mode=0o600, shared=True)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keeps other `pirack deploy` from writing there between our read and our write.

    The folder is locked, not a file in it: nothing is left behind that another user
    could not open. It is for one small write, so waiting here is short.

    Args:
        folder: Made when it is missing.

    Raises:
        OSError: It cannot be made or opened.
    """
    _make(folder)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
