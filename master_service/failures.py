"""What failed unforeseen while one list of effects was done; pure."""

import msgspec

from broker.messages import Phase
from master_service.commands.effects import (
    Answer,
    Effect,
    KeepDone,
    KeepOutlet,
    KeepPart,
)


class Failures:
    """Remembers what went wrong until a receipt has told it."""

    def __init__(self) -> None:
        self._untold = ""
        self._unkept = ""

    def note(self, effect: Effect, error: Exception) -> str:
        """Take that an effect failed; return it in words."""
        why = f"the master failed at {type(effect).__name__}: {error!r}"
        self._untold = self._untold or why
        if isinstance(effect, KeepDone | KeepOutlet | KeepPart):
            self._unkept = self._unkept or why
        return why

    def committed(self) -> str:
        """Return what should have been in the last commit and was not."""
        why, self._unkept = self._unkept, ""
        return why and f"not begun: it could not be put on disk first: {why}"

    def told(self, answer: Answer) -> Answer:
        """Return an answer that, if it is a last word, tells what failed before it."""
        reply = answer.reply
        if not self._untold or not reply.phase.final:
            return answer
        phase = Phase.FAILED if reply.phase is Phase.DONE else reply.phase
        why, self._untold = self._untold, ""
        error = f"{reply.error}; {why}" if reply.error else why
        reply = msgspec.structs.replace(reply, phase=phase, ok=False, error=error)
        return msgspec.structs.replace(answer, reply=reply)
