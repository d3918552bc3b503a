"""What a person reads and types, on a terminal or over a pipe.

What nodes and the master say is foreign text: it is printed by these functions, which
show the characters that a terminal would obey. A reader of a pipe may go away, as
``| head`` does.
"""

import asyncio
import os
import sys

from broker.common.log import printable

_BYTES = 4096


def say(line: str) -> bool:
    """Prints a line at once; returns False when its reader has just gone away.

    For what is printed while messages come in: an exception would not reach the one who
    waits. Later lines go nowhere.
    """
    try:
        print(printable(line), flush=True)
    except BrokenPipeError:
        hush()
        return False
    return True


def complain(text: str) -> None:
    """Writes to standard error."""
    sys.stderr.write(printable(text))


def hush() -> None:
    """Makes what is printed from now on, and at the exit, go nowhere.

    As the Python documentation has it ("Note on SIGPIPE", module ``signal``): else
    the interpreter complains when it flushes the closed pipe at its end.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def reason(error: OSError) -> str:
    """Returns what the system refused, with the way out where there is one.

    Raises:
        BrokenPipeError: That is what it was: the reader of our output has seen enough.
    """
    if isinstance(error, BrokenPipeError):
        raise error
    where = f"{error.filename}: " if error.filename else ""
    way_out = "; be root: use sudo" if isinstance(error, PermissionError) else ""
    return f"{where}{error.strerror}{way_out}"


class LineReader:
    """Reads what a person types, without stopping the loop.

    From the descriptor itself: Python's buffered input would keep lines that
    ``add_reader`` then never hears of.

    Args:
        descriptor: Where the lines come from.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._pending = b""

    async def line(self) -> str | None:
        """Returns the next line; None at the end."""
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
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:
            return  # a plain file is always ready, and epoll takes none
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)
