"""Outlets switched by commands of the owner: uhubctl, snmpset, curl, anything.

Each is split into words once and run without a shell, in a process group of its own
that ends as a whole when it takes too long, or when we do.
"""

import asyncio
import re
from collections.abc import Mapping

from broker.common.processes import DieWithParent, Finished, run_once
from broker.contract.messages import Power
from master_service.power.outlets import PowerFatalError, PowerRetryableError, unknown
from master_service.rack.settings import CommandsRow, CommandWords, command_words

TRY_AGAIN = 75
"""``EX_TEMPFAIL`` of sysexits.h."""
_QUOTED = 200


class CommandOutlets:
    """Outlets switched by commands; see ``Outlets``.

    Args:
        rows: By outlet.
    """

    def __init__(self, rows: Mapping[str, CommandsRow]) -> None:
        self._rows = dict(rows)
        self._turns = {name: asyncio.Lock() for name in rows}

    async def claim(self, outlet: str, level: Power) -> None:  # noqa: ARG002  # what it switches keeps its own
        """Checks that there is such an outlet."""
        self._row(outlet)

    async def read(self, outlet: str) -> Power:
        """Runs the status command and looks for its words."""
        row = self._row(outlet)
        async with self._turns[outlet]:
            outcome = await self._run(outlet, "status", row.status, row.timeout_s)
        on, off = (
            re.search(pattern, outcome.stdout) is not None
            for pattern in (row.status_on, row.status_off)
        )
        if on is not off:
            return Power.ON if on else Power.OFF
        text = (
            f"outlet {outlet}: status says {outcome.stdout[:_QUOTED]!r}, in which "
            f"{'both' if on else 'neither'} status_on {row.status_on!r} and status_off "
            f"{row.status_off!r} {'are' if on else 'is'} found"
        )
        raise PowerFatalError(text)

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Runs the command for a level."""
        row = self._row(outlet)
        name, command = ("on", row.on) if on else ("off", row.off)
        async with self._turns[outlet]:
            await self._run(outlet, name, command, row.timeout_s)

    async def close(self) -> None:
        """Does nothing: no command runs on."""

    async def _run(
        self, outlet: str, name: str, command: CommandWords, timeout_s: float
    ) -> Finished:
        """Runs a command that must end well.

        Raises:
            PowerFatalError: It cannot be started, or failed.
            PowerRetryableError: It took too long, or asked for another attempt.
        """
        argv = command_words(command)
        what = f"outlet {outlet}: {name} command {argv[0]!r}"
        # A switching that outlived us would come after the next master has looked.
        mode = DieWithParent.NONE if name == "status" else DieWithParent.GROUP
        outcome = await run_once(argv, timeout_s, die_with_parent=mode)
        if outcome.timed_out:
            text = f"{what} was ended after {timeout_s:.0f} s"
            raise PowerRetryableError(text)
        if outcome.exit_code is None:
            text = f"outlet {outlet}: {name} command {outcome.error}"
            raise PowerFatalError(text)
        if outcome.exit_code == 0:
            return outcome
        said = (outcome.stderr or outcome.stdout).strip()[-_QUOTED:]
        code = outcome.exit_code
        text = f"{what} ended with exit code {code}: {said or 'without a word'}"
        if code == TRY_AGAIN:
            raise PowerRetryableError(text)
        raise PowerFatalError(text)

    def _row(self, outlet: str) -> CommandsRow:
        try:
            return self._rows[outlet]
        except KeyError:
            raise unknown(outlet, self._rows) from None
