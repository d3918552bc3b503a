"""What the master and ``pirack-powerd`` say to each other, and the master's end.

A line of JSON each way over a Unix socket, one question a connection.
"""

import asyncio
import contextlib
import enum
from pathlib import Path

import msgspec

from broker.contract.messages import Power
from master_service.power.outlets import (
    PowerError,
    PowerFatalError,
    PowerRetryableError,
    unknown,
)

ANSWER_S = 5.0
LINE_BYTES = 4096


class PowerdAction(enum.StrEnum):
    """What is asked."""

    CLAIM = "claim"
    READ = "read"
    SWITCH = "switch"


class PowerdRequest(msgspec.Struct, frozen=True):
    """What the master asks of powerd.

    Args:
        do: What.
        outlet: Of which outlet.
        level: For a claim the recorded level, for a switching the wanted one.
    """

    do: PowerdAction
    outlet: str
    level: Power = Power.UNKNOWN


class PowerdReply(msgspec.Struct, frozen=True):
    """What powerd answers.

    Args:
        level: What was read.
        error: Why it could not be; empty: it was.
        again: Whether another attempt may do.
    """

    level: Power = Power.UNKNOWN
    error: str = ""
    again: bool = False


class PowerdOutlets:
    """Outlets whose lines ``pirack-powerd`` holds; see ``Outlets``.

    Args:
        socket: Path of its socket.
        names: The outlets it holds for us.
    """

    def __init__(self, socket: Path, names: tuple[str, ...]) -> None:
        self._socket = socket
        self._names = frozenset(names)

    async def claim(self, outlet: str, level: Power) -> None:
        """Makes powerd claim the line, if it does not hold it already."""
        await self._ask(PowerdRequest(PowerdAction.CLAIM, outlet, level))

    async def read(self, outlet: str) -> Power:
        """Makes powerd read the line back."""
        return (await self._ask(PowerdRequest(PowerdAction.READ, outlet))).level

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Makes powerd write the level down, then set it."""
        level = Power.ON if on else Power.OFF
        await self._ask(PowerdRequest(PowerdAction.SWITCH, outlet, level))

    async def close(self) -> None:
        """Does nothing: the lines are not ours."""

    async def _ask(self, question: PowerdRequest) -> PowerdReply:
        if question.outlet not in self._names:
            raise unknown(question.outlet, self._names)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._exchange(question)
        except PermissionError as error:
            text = f"{self._socket}: pirack-powerd refuses this user: {error.strerror}"
            raise PowerFatalError(text) from error
        except (OSError, TimeoutError) as error:
            reason = str(error) or f"no answer in {ANSWER_S:.0f} s"
            text = f"{self._socket}: pirack-powerd does not answer: {reason}"
            raise PowerRetryableError(text) from error
        except msgspec.MsgspecError as error:
            text = f"{self._socket}: that is not pirack-powerd: {error}"
            raise PowerFatalError(text) from error
        if answer.error:
            raise _error(answer)
        return answer

    async def _exchange(self, question: PowerdRequest) -> PowerdReply:
        reader, writer = await asyncio.open_unix_connection(
            str(self._socket), limit=LINE_BYTES
        )
        try:
            writer.write(msgspec.json.encode(question) + b"\n")
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if not line:
            text = "it closed the connection"
            raise ConnectionResetError(text)
        return msgspec.json.decode(line, type=PowerdReply)


def _error(answer: PowerdReply) -> PowerError:
    kind = PowerRetryableError if answer.again else PowerFatalError
    return kind(answer.error)
