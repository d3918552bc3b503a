"""One interface for every DHCP server; ``tests/system`` runs one suite on all."""

from collections.abc import Collection
from typing import Protocol

import msgspec

from provisioning.reservation import Change, Reservation
from provisioning.run.state import Problem


class Lease(msgspec.Struct, frozen=True):
    """An address that is lent at this moment.

    Args:
        mac: To whom.
        address: Which.
        ends: Unix time it ends, seconds; infinite for one that never does.
        hostname: What the board calls itself; empty if it did not say.
    """

    mac: str
    address: str
    ends: float
    hostname: str = ""


class Backend(Protocol):
    """A DHCP server that knows our boards, or that we only live beside.

    The whole set of reservations is given each time: files, JSON and a database then
    all work alike, and doing it again after a crash is harmless.
    """

    @property
    def name(self) -> str:
        """What it is called in the configuration."""

    @property
    def reserves(self) -> bool:
        """Whether it takes reservations; False for somebody else's server."""

    async def start(self) -> None:
        """Write its configuration and begin to serve what was last applied.

        Raises:
            BackendError: It cannot be started.
        """

    async def stop(self) -> None:
        """End what was started; calling it twice is fine."""

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
        """Return what stands in the way of serving; touches nothing.

        Args:
            want: What it is to serve.
        """

    async def alive(self) -> bool:
        """Whether the server is there."""

    async def leases(self) -> tuple[Lease, ...]:
        """Return what is lent now.

        Raises:
            BackendError: It cannot be read.
        """

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Serve this set of reservations and no other; effective when it returns.

        A reserved address that is lent to somebody else is taken back.

        Args:
            want: The whole set.
            brief: Leases are as short as those of the pool, so that boards soon hear
                of the next set; until the next call, or start.

        Raises:
            RefusedError: The set contradicts itself; nothing was changed.
            BackendError: The server would not have it; the last good set is served.
        """

    def applied(self) -> tuple[Reservation, ...]:
        """Return the set that is served."""
