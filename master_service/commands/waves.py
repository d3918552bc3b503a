"""A command on many nodes goes a few at a time; pure.

A wave is over when each of its targets is. A target that was known to be offline or
unable at the beginning is answered then, belongs to no wave and stops nothing: the
command did not do that. Any other that is not done is a failure.
"""

from collections import deque

from broker.contract.messages import Command, OnFailure, Phase
from broker.contract.verbs import WAVES
from master_service.commands.run import Run


def size(verb: str, command: Command, targets: int) -> int:
    """Return how many targets a wave has."""
    asked = command.wave
    if asked is None:
        asked = WAVES.get(verb, 0)
    return min(asked, targets) or targets


class Waves:
    """The targets of one command that have not begun, and when they may.

    Args:
        run: The command.
        keys: Rows that wait, in order.
        size: How many begin together.
    """

    def __init__(self, run: Run, keys: list[str], size: int) -> None:
        self.begun = 0
        """Waves so far."""
        self._run = run
        self._waiting = deque(keys)
        self._size = max(1, size)
        self._current: list[str] = []
        self._rest_until: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether some target has not begun."""
        return bool(self._waiting)

    @property
    def whole(self) -> int:
        """How many waves there are in all."""
        left = -(-len(self._waiting) // self._size)
        return self.begun + left

    def next(self, now: float) -> list[str]:
        """Return the rows that begin now; none while a wave or a pause lasts."""
        rows = self._run.rows
        if not self._waiting or any(rows[key].open for key in self._current):
            return []
        command = self._run.asked.command
        if self._current and self._rest_until is None:
            self._rest_until = now + command.pause_s
        if self._rest_until is not None and now < self._rest_until:
            return []
        self._rest_until = None
        count = min(self._size, len(self._waiting))
        self._current = [self._waiting.popleft() for _ in range(count)]
        self.begun += 1
        return list(self._current)

    def failed(self) -> str:
        """Return the name of a target of this wave that failed, if that stops it."""
        if self._run.asked.command.on_failure is not OnFailure.STOP:
            return ""
        rows = (self._run.rows[key] for key in self._current)
        bad = (r.name for r in rows if not r.open and r.phase is not Phase.DONE)
        return next(bad, "")

    def stop(self, why: str, now: float) -> None:
        """Let nothing more begin, and answer who waits."""
        while self._waiting:
            error = f"not started: {why}"
            key = self._waiting.popleft()
            self._run.end(key, Phase.NOT_DELIVERED, now, error=error)
