"""How every service process runs: until SIGINT or SIGTERM, then a clean stop."""

import asyncio
import logging
import signal
import sys
from typing import Protocol

from broker.errors import ConfigError, PiRackError

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3


class Service(Protocol):
    """Anything that is started, lives, and is stopped."""

    async def start(self) -> None:
        """Begin to work and return; raise a PiRackError if that cannot be."""

    async def stop(self) -> None:
        """Undo ``start``; calling it twice is fine."""


async def serve(service: Service) -> None:
    """Run a service until the process is told to end.

    Raises:
        PiRackError: The service could not start.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        await service.start()
        await ended.wait()
    finally:
        await service.stop()


def run(service: Service) -> int:
    """Run a service as this process and return its exit code.

    A configuration error is a sentence on standard error, never a traceback.
    """
    try:
        asyncio.run(serve(service))
    except PiRackError as error:
        sys.stderr.write(f"pirack: {error}\n")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    return EXIT_OK
