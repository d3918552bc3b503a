"""Somebody else's DHCP server: boards are found and placed, addresses are theirs."""

from collections.abc import Collection
from pathlib import Path

from provisioning.backends import files
from provisioning.backends.backend import Lease
from provisioning.backends.checks import address_problems, own_address_problems
from provisioning.backends.ledger import Ledger
from provisioning.discovery.packet_socket import carrier
from provisioning.reservation import Change, Reservation, difference, validate
from provisioning.run.state import Problem
from provisioning.subnet import Subnet


class Observe:
    """The back end that serves nothing.

    It keeps the set it is given, for a person who copies it into the other server.

    Args:
        subnet: The network.
        folder: Its own.
    """

    name = "observe"
    reserves = False

    def __init__(self, subnet: Subnet, folder: Path) -> None:
        self._subnet = subnet
        self._folder = folder
        self._ledger = Ledger(folder / "reservations.json")

    async def start(self) -> None:
        """Make the folder.

        Raises:
            BackendError: It cannot be made.
        """
        files.make_folder(self._folder)

    async def stop(self) -> None:
        """Do nothing."""

    async def check(self, want: Collection[Reservation]) -> tuple[Problem, ...]:
        """Return what stands in the way of listening."""
        if carrier(self._subnet.interface) is None:
            name = self._subnet.interface
            text = f"interface {name} is not there or down; bring it up"
            return (Problem(text=text, fatal=True),)
        return (
            *own_address_problems(self._subnet, fatal=False),
            *address_problems(want, self._subnet),
        )

    async def alive(self) -> bool:
        """Return true: there is nothing that could die."""
        return True

    async def leases(self) -> tuple[Lease, ...]:
        """Return nothing: the other server does not tell."""
        return ()

    async def apply(
        self, want: Collection[Reservation], *, brief: bool = False
    ) -> Change:
        """Keep the set.

        Raises:
            RefusedError: It contradicts itself.
            BackendError: It cannot be written.
        """
        del brief
        rows = validate(want, self._subnet)
        change = difference(self._ledger.served(), rows)
        await self._ledger.write(rows)
        return change

    def applied(self) -> tuple[Reservation, ...]:
        """Return the set that was kept."""
        return self._ledger.served()
