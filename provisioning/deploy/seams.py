"""What the deployer is given: a way in, what goes there, and who hears the agents."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from provisioning.deploy.snapshot import Snapshot
from provisioning.deploy.target import Target
from provisioning.deploy.trouble import Output


class Shell(Protocol):
    """An open way into one board."""

    async def run(self, command: str, feed: bytes = b"") -> Output:
        """Run a command line there and return what it said.

        Args:
            command: For ``sh``; never holds a secret: others see it there.
            feed: Its standard input.

        Raises:
            DeployError: The connection ended.
        """


class Connect(Protocol):
    """Opens ways in."""

    def __call__(self, target: Target) -> AbstractAsyncContextManager[Shell]:
        """Return a way into a board; entering it connects.

        Raises:
            DeployError: There is none; says why.
        """


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to one board.

    Args:
        node: Id it will have in the rack.
        archive: A tar archive of one directory with a program ``install``; holds the
            board's password.
        version: Of the agent in it; empty where the board gets what its index has.
    """

    node: str
    archive: bytes
    version: str = ""

    def __repr__(self) -> str:
        """What may stand in a log."""
        return f"Package({self.node}, {len(self.archive)} bytes)"


class Packer(Protocol):
    """Lets boards join and puts together what each needs."""

    def node(self, snapshot: Snapshot) -> str:
        """Return the id a board will have.

        Raises:
            PiRackError: It has nothing to make one of.
        """

    async def pack(self, snapshot: Snapshot) -> Package:
        """Make the board's credential known to the broker, and return its package.

        Raises:
            PiRackError: The broker or a file does not allow it.
            OSError: A file cannot be written.
        """


class Births(Protocol):
    """Hears what the agents say."""

    @property
    def deaf(self) -> str:
        """Why nobody can be heard just now; empty while all can."""

    def session(self, node: str) -> str:
        """Return the session a node spoke of last; empty: it never did."""

    async def newborn(self, node: str, *, after: str) -> str:
        """Wait for the details of another session; return the agent's version.

        Args:
            node: Id.
            after: The session that does not count.
        """

    async def alive(self, node: str) -> str:
        """Wait for a heartbeat from now on; return the agent's version."""
