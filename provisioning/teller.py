"""Tells what happens in a run, each thing once."""

import logging

from broker.contract.messages import InstallState
from provisioning.run.messages import Say
from provisioning.run.progress import progress
from provisioning.run.state import Run
from provisioning.seams import Announcer

log = logging.getLogger(__name__)


class Teller:
    """Passes on what is new.

    Args:
        announcer: Who is told.
    """

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._said: InstallState | None = None

    def say(self, effect: Say) -> None:
        """Tell one line of the rack's history."""
        log.info("%s", effect.text)
        self._announcer.event(effect.text, stack=effect.stack, mac=effect.mac)

    def announce(self, run: Run) -> None:
        """Tell a run as it is now."""
        self._announcer.run(run)  # first: who holds its stacks hangs on it
        state = progress(run)
        if state != self._said:
            self._said = state
            self._announcer.state(state)

    def stopped(self, run: Run, text: str) -> None:
        """Tell that a run was stopped, whatever is wrong with it or with who is told.

        Args:
            run: As it is now.
            text: Why.
        """
        log.error("%s", text)
        try:
            self.announce(run)
        except Exception:  # history must have it all the same
            log.exception("the end of the install run could not be announced")
        self._announcer.event(text)
