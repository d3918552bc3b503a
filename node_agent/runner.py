"""Running a command: one interface, a real one and a fake one.

``node_agent.subprocess_runner.SubprocessRunner`` starts programs, the simulator acts
them, and ``FakeRunner`` answers what a test tells it to.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from broker.common.errors import PiRackError
from broker.common.processes import Finished

DEFAULT_TIMEOUT_S = 30.0


class UnansweredError(PiRackError):
    """A probe did not answer in time: it is not known whether a command can work."""


Progress = Callable[[str], None]
"""Is told the tail of the output now and then while a long command runs."""


def silently(_tail: str) -> None:
    """Be the ``Progress`` of those who only want the end."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One command, ready to run.

    Args:
        verb: The alias it comes from; a simulated board acts by it.
        argv: Program and arguments; a shell alias is ``("/bin/sh", "-c", text)``.
        timeout_s: Seconds after which it and its children are killed.
        probe: Command that tells by its exit code whether this one can work.
    """

    verb: str
    argv: tuple[str, ...]
    timeout_s: float = DEFAULT_TIMEOUT_S
    probe: tuple[str, ...] = ()


Outcome = Finished
"""What became of an invocation."""


class Runner(Protocol):
    """Runs commands without blocking the loop."""

    async def run(
        self, invocation: Invocation, progress: Progress = silently
    ) -> Outcome:
        """Run to the end or the timeout; never raises for what the command does.

        Args:
            invocation: What to run.
            progress: Told of the output of one that runs long.
        """

    async def why_not(self, invocation: Invocation) -> str:
        """Return why it cannot work here, in words; empty when it can.

        Probes only, and never runs the command itself.

        Raises:
            UnansweredError: The probe did not answer in time.
        """


class FakeRunner:
    """Answers what a test tells it to and remembers what it was asked."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        """Outcome by verb; others end with exit code 0 at once."""
        self.obstacles: dict[str, str] = {}
        """Why not, by verb; others can be run."""
        self.unanswered: set[str] = set()
        """Verbs whose probes do not answer."""
        self.probed: list[str] = []
        """Verbs it was asked about, in order."""
        self.invocations: list[Invocation] = []

    async def run(
        self,
        invocation: Invocation,
        progress: Progress = silently,  # noqa: ARG002  # it is done at once
    ) -> Outcome:
        """Note the invocation and return the outcome set for its verb."""
        self.invocations.append(invocation)
        return self.outcomes.get(invocation.verb, Outcome(exit_code=0))

    async def why_not(self, invocation: Invocation) -> str:
        """Return the obstacle set for the verb."""
        self.probed.append(invocation.verb)
        if invocation.verb in self.unanswered:
            text = "no answer within 30 s"
            raise UnansweredError(text)
        return self.obstacles.get(invocation.verb, "")
