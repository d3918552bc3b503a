"""A person at the terminal, asked without stopping the loop.

Lines are read from the descriptor itself: Python's buffered input would keep lines that
``add_reader`` then never hears of. Ctrl-C ends the walk, which puts the outlet back.
"""

import asyncio
import os
import sys

from pirack.power.walk import Reply

_BYTES = 4096


class Terminal:
    """Standard input and output; see ``Person``.

    Args:
        descriptor: Where the answers come from.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._pending = b""

    def tell(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    async def ask(self, question: str) -> Reply:
        """Ask until the answer begins with y, n or q; no more answers mean q."""
        while True:
            sys.stdout.write(f"{question} [y/n/q] ")
            sys.stdout.flush()
            line = await self.line()
            if line is None:
                print(flush=True)
                return Reply.QUIT
            first = line.strip().lower()[:1]
            if first in set(Reply):
                return Reply(first)

    async def line(self) -> str | None:
        """Return the next line; None at the end."""
        while b"\n" not in self._pending:
            await self._readable()
            data = os.read(self._descriptor, _BYTES)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        try:
            loop.add_reader(self._descriptor, _resolve, ready)
        except PermissionError:
            return  # a plain file is always ready, and epoll takes none
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
