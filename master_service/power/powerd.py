"""``pirack-powerd``: holds GPIO lines, and does nothing else.

Where the kernel makes a line an input when its process ends, the process that holds
the lines of relays must never end. The master may: it is upgraded, restarted, and can
crash. So this small process holds them. At start it claims each line directly as an
output at the level on its disk; it has no connection to the network and knows nothing
of the rack.
"""

import argparse
import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from broker.common import service
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from master_service.power import rack_outlets, wiring
from master_service.power.drivers import gpio_machine
from master_service.power.drivers.gpio import PinLevels
from master_service.power.drivers.gpio_machine import GpioMachine
from master_service.power.outlets import (
    Outlets,
    PowerError,
    PowerRetryableError,
    unknown,
)
from master_service.power.powerd_client import (
    LINE_BYTES,
    PowerdAction,
    PowerdReply,
    PowerdRequest,
)
from master_service.power.rack_outlets import OutletLock
from master_service.rack.settings import Driver, Settings

log = logging.getLogger(__name__)

DESCRIPTION = """\
Hold the GPIO lines of the outlets while the master comes and goes. It reads the
[[outlet]] rows with the drivers rpi-gpio and gpiod, and listens on [power] holder.
`pirack doctor` says whether this machine needs it; docs/power.md explains why.
"""
SOCKET_MODE = 0o660
QUESTION_S = 5.0


class PowerDaemon:
    """The service; see ``broker.common.service.Service``.

    Raises:
        ConfigError: There is nothing to hold, nowhere to listen, or no driver.
    """

    def __init__(self, settings: Settings, machine: GpioMachine) -> None:
        rows = rack_outlets.on_pins(settings)
        if not settings.power.holder or not rows:
            text = (
                "pirack-powerd has nothing to do: it needs [power] holder, the path of "
                "its socket, and an [[outlet]] with driver gpiod or rpi-gpio"
            )
            raise ConfigError(text)
        self._socket = Path(settings.power.holder)
        self._folder = Path(settings.power.holder_dir)
        self._levels = PinLevels(self._folder / rack_outlets.LEVELS_FILE)
        self._lock = OutletLock(self._folder, "pirack-powerd")
        self._drivers: dict[str, Outlets] = {}
        for driver in (Driver.RPI_GPIO, Driver.GPIOD):
            names = [row.name for row in rows if row.driver is driver]
            if names:
                made = rack_outlets.gpio(driver, rows, machine, self._levels)
                self._drivers |= dict.fromkeys(names, made)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Claims every line at the level on disk, then listens.

        Raises:
            ConfigError: It runs already, or the socket cannot be made.
        """
        try:
            self._lock.take()
        except PowerError as error:
            raise ConfigError(str(error)) from error
        for name in self._drivers:
            await self._claim(name)
        try:
            self._socket.unlink(missing_ok=True)  # of one that was killed: we have
            self._server = await asyncio.start_unix_server(  # the lock, it is stale
                self._serve, path=str(self._socket), limit=LINE_BYTES
            )
            self._socket.chmod(SOCKET_MODE)
        except OSError as error:
            text = f"[power] holder {self._socket}: cannot listen: {error.strerror}"
            raise ConfigError(text) from error

    async def stop(self) -> None:
        """Stops listening. The lines go with the process; no call here moves one."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._socket.unlink(missing_ok=True)
        self._lock.release()

    async def answer(self, question: PowerdRequest) -> PowerdReply:
        """Carries out what the master asks."""
        try:
            return PowerdReply(level=await self._do(question))
        except PowerError as error:
            again = isinstance(error, PowerRetryableError)
            return PowerdReply(error=str(error), again=again)

    async def _claim(self, name: str) -> None:
        """Claims one line; one that fails must not keep the others from being held."""
        try:
            await self._drivers[name].claim(name, Power.UNKNOWN)
            level = await self._drivers[name].read(name)
        except PowerError as error:
            log.error("outlet %s is not held: %s", name, error)  # noqa: TRY400  # the sentence says it all
        else:
            log.info("outlet %s is held, %s", name, level)

    async def _do(self, question: PowerdRequest) -> Power:
        name = question.outlet
        if name not in self._drivers:
            raise unknown(name, self._drivers)
        driver = self._drivers[name]
        if question.do is PowerdAction.CLAIM:
            await driver.claim(name, question.level)
        elif question.do is PowerdAction.SWITCH:
            await driver.switch(name, on=question.level is Power.ON)
            log.info("outlet %s was switched %s", name, question.level)
        return await driver.read(name)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers one request; on anything else the connection is closed."""
        with contextlib.suppress(
            OSError, TimeoutError, ValueError, msgspec.MsgspecError
        ):
            async with asyncio.timeout(QUESTION_S):
                line = await reader.readline()
                question = msgspec.json.decode(line, type=PowerdRequest)
                answer = await self.answer(question)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        writer.close()


def main() -> int:
    """Runs ``pirack-powerd`` and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="pirack-powerd", description=DESCRIPTION, allow_abbrev=False
    )
    service.add_common(parser)
    args = service.parse(parser)
    try:
        settings = wiring.read(service.load_common(args))
        return service.run(PowerDaemon(settings, gpio_machine.here()))
    except ConfigError as error:
        parser.exit(service.EXIT_CONFIG, f"pirack-powerd: {error}\n")
