"""Which board gets its agent, how far it is, and why it did not get one; pure."""

import enum
from collections.abc import Callable
from ipaddress import IPv6Address

import msgspec

from provisioning.common.errors import ProvisioningError

SSH_PORT = 22


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A board that gets an agent.

    Args:
        host: Name or address it is reached by.
        port: TCP port of its SSH server.
        name: What a person calls it; empty: it goes by its host.
        mac: Hardware address the board there must have; empty: any.
        stack: Of its place; None where it has none.
        slot: Of its place; None where it has none.
    """

    host: str
    port: int = SSH_PORT
    name: str = ""
    mac: str = ""
    stack: int | None = None
    slot: int | None = None

    @property
    def label(self) -> str:
        """Its name in a table."""
        return self.name or self.where

    @property
    def where(self) -> str:
        """Host and port as known_hosts has them: the port only where it is unusual."""
        plain = self.port == SSH_PORT
        return self.host if plain else f"[{self.host}]:{self.port}"


def parse(word: str, port: int = SSH_PORT) -> tuple[str, int]:
    """Returns host and port of ``host``, ``host:port``, ``[v6]:port`` or ``v6``.

    Args:
        word: As typed.
        port: The port where the word has none.

    Raises:
        ValueError: It is neither name nor address, or the port is not one.
    """
    host, colon, number = word.rpartition(":")
    if not colon or _is_v6(word) or host.startswith("[") != host.endswith("]"):
        host = word
    else:
        port = int(number) if number.isdecimal() else 0
    host = host.strip("[]")
    if not host or not host.isprintable() or " " in host or port not in range(1, 2**16):
        raise ValueError(word)
    return host, port


def _is_v6(word: str) -> bool:
    try:
        IPv6Address(word.strip("[]"))
    except ValueError:
        return False
    return True


class Trouble(enum.StrEnum):
    """Why a board did not get its agent."""

    UNREACHABLE = "unreachable"
    LOST = "connection-lost"
    """It ended in the middle."""
    TOO_SLOW = "too-slow"
    """The deadline passed."""
    PACKAGES = "packages"
    """pip could not get or install them."""
    WHEELS = "no-wheels"
    """No package index has them for its system, and it can make none just now."""
    INSTALLER = "installer"
    """The installer failed in another way."""
    NOT_JOINED = "not-joined"
    """The broker did not accept it."""
    SILENT = "silent"
    """Installed, but the agent did not speak."""
    HOST_KEY = "host-key-changed"
    PERMISSION = "permission-denied"
    SUDO = "sudo-asks-password"
    PYTHON = "no-python"
    VENV = "no-python3-venv"
    DISK_FULL = "disk-full"
    OTHER_BOARD = "other-board"
    """Not the board that was found at this place, or one that had its turn already."""
    MASTER = "masters-own"
    """The machine the master runs on."""

    @property
    def fatal(self) -> bool:
        """Whether another attempt is useless until a person did something."""
        return self not in _PASSING


_PASSING = frozenset(
    {
        Trouble.UNREACHABLE,
        Trouble.LOST,
        Trouble.TOO_SLOW,
        Trouble.PACKAGES,
        Trouble.WHEELS,
        Trouble.INSTALLER,
        Trouble.NOT_JOINED,
        Trouble.SILENT,
    }
)


class DeployError(ProvisioningError):
    """A board did not get its agent; the text says why and what to do.

    Args:
        trouble: The kind of failure.
        text: For a person.
        starting: The board is up, and the service may only not have started yet.
    """

    def __init__(self, trouble: Trouble, text: str, *, starting: bool = False) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.starting = starting


class DeployStep(enum.StrEnum):
    """What is done for a board."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    LOOKING = "looking"
    """Finding out which board it is, and whether it has all that is needed."""
    WHEELS = "wheels"
    """It makes the wheels that no package index has for it, or waits for them."""
    JOINING = "joining"
    """The broker gets its password."""
    INSTALLING = "installing"
    STARTING = "starting"
    """Waiting for the first message of its agent."""
    AGAIN = "again"
    """It failed; a second attempt follows."""
    DONE = "done"
    UNCHANGED = "unchanged"
    """All was there already, and the agent answers."""
    READY = "ready"
    """A dry run: it could begin."""
    FAILED = "failed"


LAST = frozenset(
    {DeployStep.DONE, DeployStep.UNCHANGED, DeployStep.READY, DeployStep.FAILED}
)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How far a board is; the last one is the result.

    Args:
        node: Id of the board, once it is known.
        text: What a person should know; for a failure, why and what to do.
        trouble: Why it failed; None unless it did.
        took_s: Seconds since its turn came.
        attempts: How many there were.
    """

    target: Target
    step: DeployStep
    node: str = ""
    text: str = ""
    trouble: Trouble | None = None
    took_s: float = 0.0
    attempts: int = 1

    @property
    def fine(self) -> bool:
        """Whether it ended well."""
        return self.step in LAST and self.step is not DeployStep.FAILED


Progress = Callable[[Report], None]
"""Called at every step, on the loop; must not block."""
