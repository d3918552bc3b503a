"""One part of the rack as a child process that is started again when it dies."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from broker.common.errors import ConfigError
from broker.common.processes import Lines, Process, start
from broker.common.service import EXIT_CONFIG, EXIT_USAGE
from broker.common.supervised import End, Pauses, Supervised

PAUSES = Pauses(first_s=2.0, longest_s=30.0, steady_s=60.0)
"""Between the end of a part and its next start."""
STOP_S = 8.0
"""After this a part that was asked to end is killed."""

Say = Callable[[str], None]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    Args:
        name: As people call it: ``master``.
        arguments: Sub-command of ``pirack`` and its options.
    """

    name: str
    arguments: tuple[str, ...]


class Child:
    """A part that is kept running until it is stopped.

    Args:
        part: What to run.
        say: Where sentences for the person go, the part's own lines among them.
        changed: Called when the process id is another one.
    """

    def __init__(self, part: Part, say: Say, changed: Callable[[], None]) -> None:
        self.part = part
        self._say = say
        self._changed = changed
        self._supervised = Supervised(
            part.name,
            self._launch,
            pauses=PAUSES,
            on_end=self._ended,
            on_start=self._runs_again,
        )

    @property
    def pid(self) -> int:
        """Process id now; 0 while it is not running."""
        return self._supervised.pid or 0

    async def start(self) -> None:
        """Starts the process and keeps it."""
        await self._supervised.start()

    async def broken(self) -> None:
        """Waits for what a restart cannot heal.

        Raises:
            ConfigError: The part refuses its configuration.
        """
        await self._supervised.given_up()

    async def stop(self) -> None:
        """Asks the process to end, kills it if it does not; twice is fine."""
        if not await self._supervised.stop(STOP_S):
            self._say(f"{self.part.name} did not end within {STOP_S:g} s; killed")

    async def _launch(self) -> Process:
        command = (sys.executable, "-m", "pirack.up.part", str(os.getpid()))
        return start([*command, *self.part.arguments], stderr=Lines(self._pass_on))

    def _pass_on(self, line: str) -> None:
        if line:
            self._say(f"[{self.part.name}] {line}")

    def _ended(self, end: End) -> None:
        if end.exit_code in {EXIT_CONFIG, EXIT_USAGE}:
            text = f"{self.part.name} refuses its configuration; see above"
            raise ConfigError(text)
        self._say(
            f"{self.part.name} ended ({end.why}); "
            f"starting it again in {end.pause_s:.0f} s"
        )
        self._changed()

    def _runs_again(self) -> None:
        self._say(f"{self.part.name} runs again (process {self.pid})")
        self._changed()


async def stop_all(children: Sequence[Child]) -> None:
    """Stops parts at the same time."""
    await asyncio.gather(*(child.stop() for child in children))
