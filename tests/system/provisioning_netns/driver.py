"""A master in a process of its own, that kills itself at a step; for test_kill.py.

Arguments: folder, socket of the outlets, stacks, slots, step, seconds within the step.
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

from broker.contract.messages import Power
from provisioning.journal import SqliteJournal
from provisioning.run.state import InstallRun
from tests.system.provisioning_netns.lab import SUBNET
from tests.system.provisioning_netns.rack import Master, params


class RemotePower:
    """The outlets of the lab, which outlive us as real ones do."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        del consent
        await self._call(f"{stack} {'on' if on else 'off'}")

    async def read(self, stack: int) -> Power:
        return Power(await self._call(f"{stack} read"))

    async def _call(self, line: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(line.encode() + b"\n")
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


class DyingJournal(SqliteJournal):
    """Kills the process some time after it wrote a step down."""

    step = ""
    after_s = 0.0

    async def save(self, run: InstallRun) -> None:
        await super().save(run)
        if run.step != self.step:
            return
        if self.after_s:
            threading.Timer(self.after_s, _die).start()
        else:
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, path, stacks, slots, step, after_s = sys.argv[1:]
    master = Master(RemotePower(path), Path(folder), [], SUBNET, DyingJournal)
    DyingJournal.step, DyingJournal.after_s = step, float(after_s)
    asyncio.run(master.install(params(int(stacks), int(slots))))


if __name__ == "__main__":
    main()
