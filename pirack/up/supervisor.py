"""The running rack: Mosquitto and the parts, each started again when it dies."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from broker.common.errors import BrokerError, ConfigError
from broker.common.processes import LineSink, Process, start
from broker.common.service import EXIT_CONFIG, EXIT_USAGE
from broker.common.supervisor import ProgramEnd, RestartPauses, Supervisor
from broker.mosquitto.child import STOP_TIMEOUT_S, MosquittoChild

BROKER = "broker"
PAUSES = RestartPauses(first_s=2.0, longest_s=30.0, steady_s=60.0)
"""Between the end of a part and its next start."""
STOP_S = 8.0
"""After this a part that was asked to end is killed."""

Say = Callable[[str], None]
"""Tells the person at the terminal a sentence."""


class RackSupervisor:
    """The broker and the parts of a rack, kept running until they are stopped.

    Args:
        broker: Started with the parts, stopped after them.
        parts: What else runs: sub-command of ``pirack`` and options, by name.
        say: Gets sentences for the person, the parts' own lines among them.
        changed: Called when a process id is another one.
    """

    def __init__(
        self,
        broker: MosquittoChild,
        parts: Mapping[str, Sequence[str]],
        say: Say,
        changed: Callable[[], None],
    ) -> None:
        self._say = say
        self._changed = changed
        self._broker = self._supervised(BROKER, broker.launch)
        self._parts = {
            name: self._supervised(name, partial(self._launch, name, words))
            for name, words in parts.items()
        }

    def pids(self) -> dict[str, int]:
        """Returns the process ids of what runs now, by name.

        What is about to be started again is left out: somebody may kill what stands
        here, and 0 would be their own process group.
        """
        every = {BROKER: self._broker} | self._parts
        return {name: one.pid for name, one in every.items() if one.pid}

    async def start(self) -> None:
        """Starts all at the same time: the parts wait for the broker by themselves.

        Raises:
            BrokerError: The broker cannot be started.
        """
        await asyncio.gather(
            self._broker.start(), *(part.start() for part in self._parts.values())
        )

    async def given_up(self) -> None:
        """Waits for what no restart can heal.

        Raises:
            ConfigError: A part refuses its configuration.
        """
        await asyncio.gather(*(part.given_up() for part in self._parts.values()))

    async def stop(self) -> None:
        """Stops the parts, then the broker, so that nodes can say that they leave."""
        await asyncio.gather(
            *(self._end(name, part, STOP_S) for name, part in self._parts.items())
        )
        await self._end(BROKER, self._broker, STOP_TIMEOUT_S)

    async def _end(self, name: str, process: Supervisor, within_s: float) -> None:
        if not await process.stop(within_s):
            self._say(f"{name} did not end within {within_s:g} s; killed")

    def _supervised(
        self, name: str, launch: Callable[[], Awaitable[Process]]
    ) -> Supervisor:
        def runs_again() -> None:
            self._say(f"{name} runs again (process {self.pids().get(name)})")
            self._changed()

        return Supervisor(
            name,
            launch,
            pauses=PAUSES,
            on_end=partial(self._ended, name),
            on_start=runs_again,
            failures=(OSError, BrokerError),
        )

    async def _launch(self, name: str, words: Sequence[str]) -> Process:
        def pass_on(line: str) -> None:
            if line:
                self._say(f"[{name}] {line}")

        command = (sys.executable, "-m", "pirack.up.child_main", str(os.getpid()))
        return start([*command, *words], stderr=LineSink(pass_on))

    def _ended(self, name: str, end: ProgramEnd) -> None:
        if name != BROKER and end.exit_code in {EXIT_CONFIG, EXIT_USAGE}:
            text = f"{name} refuses its configuration; see above"
            raise ConfigError(text)
        how = f" ended ({end.why})" if end.exit_code is not None else f": {end.why}"
        self._say(f"{name}{how}; starting it again in {end.pause_s:.0f} s")
        self._changed()
