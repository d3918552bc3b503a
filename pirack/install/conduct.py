"""The way through one ``pirack install``: asked, shown, agreed to, followed."""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Protocol, TypeVar

from broker.client.link import Connect
from broker.common.errors import LinkError, PiRackError
from broker.common.service import EXIT_FAILED, EXIT_OK
from broker.common.tasks import first
from broker.contract.messages import InstallState, InstallStep
from broker.contract.topics import Topics
from pirack import pipe
from pirack.ask import NoAnswerError, Patience, Question, ask
from pirack.install import picture, request
from pirack.install.progress import Progress
from pirack.install.request import Action
from pirack.install.screen import Screen
from pirack.install.waiting import within
from pirack.receipt import Receipt
from provisioning.run.state import Leave

T = TypeVar("T")

CONNECT_S = 5.0
FIRST_S = 2.0
"""At most for what is retained, and for the first word of a run that was begun."""
LAST_S = 0.5
"""For the last lines of history, after the run is over."""
GOES_ON = (
    "the run goes on without this terminal. To see it: pirack install status "
    "--follow; to end it: pirack install cancel"
)


class NotDoneError(PiRackError):
    """The master refused, or nothing waits for what was asked; says why."""


class Person(Protocol):
    """Who sits at the terminal."""

    async def line(self) -> str | None:
        """Return the next line; None where there are no more."""


class Conductor:
    """Conducts one ``pirack install``.

    Args:
        connect: Makes links.
        topics: Of the rack.
        args: From the command line.
        person: Who is asked.
        screen: Makes what shows the run.
        ended: Set when somebody wants to stop looking.
    """

    def __init__(
        self,
        connect: Connect,
        topics: Topics,
        args: argparse.Namespace,
        *,
        person: Person,
        screen: Callable[[], Screen],
        ended: asyncio.Event,
    ) -> None:
        self._connect = connect
        self._topics = topics
        self._args = args
        self._person = person
        self._screen = screen
        self._ended = ended
        self._progress = Progress(topics)

    async def go(self) -> int:
        """Do what is wanted and return the exit code.

        Raises:
            LinkError: The broker cannot be reached.
            NoAnswerError: The master is offline, or nothing answers.
            NotDoneError: The master refused.
        """
        ways: dict[str, Callable[[], Coroutine[None, None, int]]] = {
            Action.START: self._start,
            Action.STATUS: self._status,
            Action.CONFIRM: self._confirm,
            Action.CANCEL: self._cancel,
        }
        async with self._listening():
            return await ways.get(self._args.action, self._change)()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        progress = self._progress
        link = self._connect(
            progress,
            client_id=f"pirack-install-{time.monotonic_ns():x}",
            subscriptions=progress.subscriptions,
        )
        await link.start()
        try:
            if not await link.wait_connected(CONNECT_S):
                text = progress.trouble or f"no connection within {CONNECT_S:g} s"
                raise LinkError(text)
            await within(progress.until(lambda _: bool(progress.master)), FIRST_S)
            yield
        finally:
            await link.stop()

    # --- what a person can want -------------------------------------------------------

    async def _start(self) -> int:
        before = self._progress.state.run if self._progress.state else ""
        await self._ask(request.start(self._args))
        new = self._progress.until(lambda state: state.run not in {"", before})
        if await within(new, FIRST_S) is None:
            text = f"the master began, and says nothing on {self._topics.install_state}"
            raise NoAnswerError(text)
        await self._show(lambda: self._known().step is InstallStep.PREFLIGHT)
        if self._known().step is InstallStep.PREFLIGHT and not self._args.yes:
            return await self._refuse()
        return await self._agreed_and_followed()

    async def _confirm(self) -> int:
        state = self._known()
        if state.step is not InstallStep.CONFIRM:
            text = f"no run waits for a word; {picture.title(state)}"
            raise NotDoneError(text)
        self._tell(*picture.forecast(state))
        return await self._begun(state.run)

    async def _status(self) -> int:
        state = self._known()
        if picture.live(state) and self._args.follow:
            return await self._follow(state.run)
        self._tell_all(state)
        return picture.exit_code(state)

    async def _cancel(self) -> int:
        leave = Leave(self._args.words[0]) if self._args.words else Leave.RESTORE
        receipt = await self._ask(request.cancel(leave))
        state = self._progress.state
        if state is None or self._args.once:
            self._tell(*_said(receipt))
            return EXIT_OK
        await self._follow(state.run)
        return EXIT_FAILED if self._ended.is_set() else EXIT_OK

    async def _change(self) -> int:
        receipt = await self._ask(request.change(self._args))
        self._tell(*_said(receipt))
        return EXIT_OK

    # --- the steps of these -----------------------------------------------------------

    async def _agreed_and_followed(self) -> int:
        """Show what will happen, have it agreed to, and follow it."""
        state = self._known()
        if state.dry or picture.live(state):
            self._tell(*picture.forecast(state))
        if state.step is InstallStep.CONFIRM:
            agreed = True if self._args.yes else await self._agree()
            if agreed is False:
                return await self._refuse()
            if agreed:
                return await self._begun(state.run)
        if not picture.live(state):  # it was shown to its end
            self._tell_all(state)
            return picture.exit_code(state)
        return await self._followed(state.run)

    async def _begun(self, run: str) -> int:
        """Let a run begin that waits for a word, and follow it."""
        await self._ask(request.confirm())
        moved = self._progress.until(
            lambda state: state.step is not InstallStep.CONFIRM
        )
        await within(moved, FIRST_S)
        return await self._followed(run)

    async def _followed(self, run: str) -> int:
        """Follow a run, if that is wanted."""
        if self._args.once and picture.live(self._known()):
            self._tell(f"{run} runs; to see it: pirack install status --follow")
            return EXIT_OK
        return await self._follow(run)

    async def _agree(self) -> bool | None:
        """Ask; None where somebody else, or the time, answered meanwhile."""
        sys.stdout.write("Begin? [y/N] ")
        sys.stdout.flush()
        moved = self._progress.until(
            lambda state: state.step is not InstallStep.CONFIRM
        )
        line, state, _ = await first(self._person.line(), moved, self._ended.wait())
        if state is not None:
            self._tell("", f"answered elsewhere: {picture.title(state)}")
            return None
        answer = (line or "").strip().lower()
        if not answer:
            self._tell("")
        return answer in {"y", "yes"}

    async def _refuse(self) -> int:
        """End a run that nobody agreed to: it has touched nothing yet."""
        await self._ask(request.cancel(Leave.LEAVE))
        self._tell("Not begun: nothing was switched.")
        return EXIT_FAILED

    async def _follow(self, run: str) -> int:
        """Show a run to its end, or until somebody has seen enough."""
        await self._show(lambda: self._mine(run))
        state = self._known()
        if self._mine(run):
            raise NotDoneError(GOES_ON)
        if state.run != run:
            text = (
                f"{run} is not the rack's latest run any more; {picture.title(state)}"
            )
            raise NotDoneError(text)
        self._tell_all(state)
        return picture.exit_code(state)

    async def _show(self, going: Callable[[], bool]) -> None:
        """Show a run as long as something holds, or until somebody has seen enough."""
        with self._screen() as screen:
            self._progress.told = screen.event
            screen.draw(self._progress)
            while going() and not self._ended.is_set():
                await self._or_ended(self._progress.news())
                screen.draw(self._progress)
            if not picture.live(self._known()):
                # What the history tells of the end comes a little after the state.
                await within(self._ended.wait(), LAST_S)
                screen.draw(self._progress)

    def _mine(self, run: str) -> bool:
        state = self._known()
        return state.run == run and picture.live(state)

    def _known(self) -> InstallState:
        """Return the run's state.

        Raises:
            NoAnswerError: The master never said any.
        """
        if self._progress.state is None:
            text = (
                "the rack says nothing of install runs: is `pirack master` running, "
                "and --rack right? See `pirack doctor`"
            )
            raise NoAnswerError(text)
        return self._progress.state

    async def _ask(self, question: Question) -> Receipt:
        """Ask the master, by the one door there is.

        Raises:
            NoAnswerError: The master is offline, or nothing answers.
            NotDoneError: It refused.
        """
        receipt = await ask(
            self._connect,
            self._topics,
            question,
            patience=Patience(),
            progress=lambda *_: None,
        )
        if not receipt.ok:
            raise NotDoneError(receipt.why)
        return receipt

    async def _or_ended(self, waiting: Coroutine[None, None, T]) -> T | None:
        """Wait for something; None when somebody wants to stop looking."""
        result: T | None
        result, _ = await first(waiting, self._ended.wait())
        return result

    def _tell_all(self, state: InstallState) -> None:
        if state.step is InstallStep.CONFIRM:  # who comes now has to read it, too
            self._tell(*picture.forecast(state))
        touched = self._progress.touched
        self._tell(*picture.boards(touched), *picture.summary(state))
        if self._progress.away:
            self._tell(f"({self._progress.away})")

    @staticmethod
    def _tell(*lines: str) -> None:
        for line in lines:
            pipe.say(line)


def _said(receipt: Receipt) -> list[str]:
    """Return what the master did, in its own words."""
    told = [line for row in receipt.rows for line in row.stdout.splitlines() if line]
    return told or [receipt.summary()]
