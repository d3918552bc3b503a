"""Which board gets its agent, how far it is, and what came of it."""

import enum
from collections.abc import Callable
from ipaddress import IPv6Address

import msgspec

from provisioning.deploy.trouble import Trouble

SSH_PORT = 22


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A board to bring the agent to.

    Args:
        host: Name or address it is reached by.
        port: TCP port of its SSH server.
        name: What a person calls it; the host where nobody does.
        mac: Hardware address the board there must have; empty: any.
        stack: Where it stands; None where it has no place.
        slot: Likewise.
    """

    host: str
    port: int = SSH_PORT
    name: str = ""
    mac: str = ""
    stack: int | None = None
    slot: int | None = None

    @property
    def label(self) -> str:
        """What it is called in a table."""
        return self.name or self.where

    @property
    def where(self) -> str:
        """Host and port as known_hosts has them: the port only where it is unusual."""
        plain = self.port == SSH_PORT
        return self.host if plain else f"[{self.host}]:{self.port}"


def parse(word: str, port: int = SSH_PORT) -> tuple[str, int]:
    """Return host and port of ``host``, ``host:port``, ``[v6]:port`` or ``v6``.

    Args:
        word: As typed.
        port: The port where the word has none.

    Raises:
        ValueError: It is neither name nor address, or the port is none.
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


class Step(enum.StrEnum):
    """What is being done for a board."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    LOOKING = "looking"
    """Who it is, and whether all that is needed is there."""
    WHEELS = "wheels"
    """It makes what no package index has for its system, or waits for them."""
    JOINING = "joining"
    """The broker learns its password."""
    INSTALLING = "installing"
    STARTING = "starting"
    """Waiting for its agent's first word."""
    AGAIN = "again"
    """It failed; a second attempt follows."""
    DONE = "done"
    UNCHANGED = "unchanged"
    """All was there already, and the agent speaks."""
    READY = "ready"
    """A dry run: it could begin."""
    FAILED = "failed"


LAST = frozenset({Step.DONE, Step.UNCHANGED, Step.READY, Step.FAILED})


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How far a board is; the last one says what came of it.

    Args:
        target: Which board.
        step: What is being done.
        node: Its id, once it is known.
        text: What a person should know; for a failure, why and what to do.
        trouble: Why it failed; None unless it did.
        took_s: Seconds since its turn came.
        attempts: How many there were.
    """

    target: Target
    step: Step
    node: str = ""
    text: str = ""
    trouble: Trouble | None = None
    took_s: float = 0.0
    attempts: int = 1

    @property
    def fine(self) -> bool:
        """Whether it ended well."""
        return self.step in LAST and self.step is not Step.FAILED


Progress = Callable[[Report], None]
"""Told of every step, on the loop; must not block."""
