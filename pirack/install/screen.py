"""How a run is shown while it goes on: plain lines here, a picture with rich."""

import time
from typing import Protocol

from broker.contract.messages import Event, InstallState
from pirack import pipe
from pirack.install import picture
from pirack.install.progress import Progress


class Screen(Protocol):
    """Shows a run; is entered before and left after it."""

    def __enter__(self) -> "Screen":
        """Begin to show."""

    def __exit__(self, *reason: object) -> None:
        """Leave the terminal as it was."""

    def event(self, event: Event) -> None:
        """Show a line of the run's history."""

    def draw(self, progress: Progress) -> None:
        """Show what is known now."""


class PlainScreen:
    """A line for whatever happens, for files, pipes and terminals without rich."""

    def __init__(self) -> None:
        self._step = ""
        self._away = ""

    def __enter__(self) -> "PlainScreen":
        """Nothing to do: lines stay where they are."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Nothing to do, likewise."""

    def event(self, event: Event) -> None:
        """Print a line of the run's history, with its time of day."""
        stamp = time.strftime("%H:%M:%S", time.localtime(event.ts))
        pipe.say(f"{stamp} {event.text}")

    def draw(self, progress: Progress) -> None:
        """Print the step when it is another one, and who went away or came back."""
        if progress.state is not None:
            step = picture.step(progress.state)
            if step != self._step:
                self._step = step
                pipe.say(f"-- {_how_far(progress.state)}{step}")
        if progress.away != self._away:
            self._away = progress.away
            pipe.say(f"-- {progress.away or 'broker and master are back'}")


def _how_far(state: InstallState) -> str:
    """Return the count before a step; a dry run finds no board."""
    return "" if state.dry else f"{picture.amount(state)}: "
