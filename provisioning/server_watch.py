"""Tells a run when the DHCP server goes away and comes back."""

import asyncio
from collections.abc import Callable

from broker.common.errors import PiRackError
from provisioning.backends.backend import Backend
from provisioning.run.messages import ServerSeen

WATCH_S = 1.0
"""Seconds between two looks at the DHCP server during a run."""


async def watch(
    backend: Backend, wanted: Callable[[], bool], seen: Callable[[ServerSeen], None]
) -> None:
    """Look again and again, as long as there is a run.

    Args:
        backend: The server.
        wanted: Whether anybody needs to know.
        seen: Is told.
    """
    while True:
        await asyncio.sleep(WATCH_S)
        if wanted():
            seen(ServerSeen(await _alive(backend)))


async def _alive(backend: Backend) -> bool:
    try:
        return await backend.alive()
    except (PiRackError, OSError):
        return False
