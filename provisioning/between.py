"""What a person changes between two runs: two boards, or all reservations."""

import contextlib
from collections.abc import AsyncIterator, Collection

from provisioning import plan
from provisioning.backends.backend import Backend
from provisioning.common.errors import BackendError, JournalError
from provisioning.common.subnet import Change, Reservation
from provisioning.run.sightings import reservations
from provisioning.run.state import Run
from provisioning.seams import Journal


async def swap(
    backend: Backend, journal: Journal, run: Run | None, names: tuple[str, str]
) -> Run | None:
    """Exchange the boards of two slots, and return the latest run with that.

    Args:
        backend: The DHCP server.
        journal: Where it is kept.
        run: The latest run, which is over; None: there was none.
        names: Of the slots.

    Raises:
        SubnetError: There is no such slot.
        BackendError: The DHCP server would not have it; nothing was changed.
        JournalError: It cannot be kept; nothing was changed.
    """
    places = plan.swap(run.places if run else journal.places(), *names)
    earlier = backend.applied()
    async with _serving(backend, reservations(places)):
        if run is None:
            await journal.keep(places)
            return None
        run = run.with_(places=places, earlier=earlier)
        await journal.save(run)
    return run


async def undo(
    backend: Backend, journal: Journal, run: Run | None
) -> tuple[Run, Change]:
    """Serve the reservations of before a run or a swap; return the run with that.

    Args:
        backend: The DHCP server.
        journal: Where it is kept.
        run: The latest run, which is over; None: there was none.

    Raises:
        BackendError: There are none, or the server would not have them.
        JournalError: It cannot be kept; nothing was changed.
    """
    if run is None or run.earlier is None:
        text = "there is no earlier set of reservations to go back to"
        raise BackendError(text)
    served = backend.applied()
    async with _serving(backend, run.earlier) as change:
        run = run.with_(earlier=served)
        await journal.save(run)
    return run, change


@contextlib.asynccontextmanager
async def _serving(
    backend: Backend, wanted: Collection[Reservation]
) -> AsyncIterator[Change]:
    """Serve other reservations while it is written down, and keep to the old if not."""
    earlier = backend.applied()
    change = await backend.apply(wanted)
    try:
        yield change
    except JournalError:
        await backend.apply(earlier)
        raise
