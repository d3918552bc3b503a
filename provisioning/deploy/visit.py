"""One board gets its agent: look, join, install, hear it; twice where that may help."""

import asyncio
import random
import time
from collections.abc import Callable

import msgspec

from broker.errors import PiRackError
from provisioning.deploy import snapshot
from provisioning.deploy.remote import INSTALL, JOURNAL, JOURNAL_LINES, UNCHANGED
from provisioning.deploy.seams import Births, Connect, Package, Packer, Shell
from provisioning.deploy.snapshot import Snapshot
from provisioning.deploy.target import Progress, Report, Step, Target
from provisioning.deploy.trouble import DeployError, Trouble, diagnose, last_lines

JOURNAL_S = 10.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long what may take, and how much goes on at once.

    Args:
        parallel: Boards at the same time.
        deadline_s: For one attempt at one board, seconds.
        attempts: At most; what a person must mend first is not tried again.
        pause_s: Before the second attempt, seconds; half of it to one and a half.
        birth_s: For the agent's first word once it was started, seconds.
        start_s: For a board that is up to start its SSH server, seconds; it counts as
            no attempt. A board that an install run has just found may need it.
    """

    parallel: int = 4
    deadline_s: float = 120.0
    attempts: int = 2
    pause_s: float = 3.0
    birth_s: float = 45.0
    start_s: float = 90.0


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """By which boards get their agents.

    Args:
        connect: The way into a board.
        packer: Lets a board join and says what goes there.
        births: Hears the agents.
        user: Who we are on the boards, for the advice.
        pace: Waiting times.
        dry: Look, say what would be done, and do nothing.
        chance: Returns a number from 0 to 1.
        clock: Monotonic, seconds.
    """

    connect: Connect
    packer: Packer
    births: Births
    user: str = "pi"
    pace: Pace = Pace()
    dry: bool = False
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


class Visit:
    """What is done for one board.

    Args:
        means: By which.
        target: The board.
        claimed: Whose board each id turned out to be, for all visits of one deployment.
        progress: Told of every step.
    """

    def __init__(
        self, means: Means, target: Target, claimed: dict[str, str], progress: Progress
    ) -> None:
        self._means = means
        self._target = target
        self._claimed = claimed
        self._progress = progress
        self._begun = means.clock()
        self._report = Report(target=target, step=Step.WAITING)

    async def go(self) -> Report:
        """Do it and return what came of it."""
        attempts, attempt = self._means.pace.attempts, 1
        while True:
            try:
                return await self._within_deadline(attempt)
            except DeployError as error:
                starts = error.starting and self._may_start()
                again = starts or (attempt < attempts and not error.trouble.fatal)
                attempt += not starts
                step = Step.AGAIN if again else Step.FAILED
                self._say(step, str(error), trouble=error.trouble)
                if not again:
                    break
            await asyncio.sleep(self._means.pace.pause_s * (0.5 + self._means.chance()))
        return self._report

    def _may_start(self) -> bool:
        """Whether the board still has time to start its SSH server."""
        return self._means.clock() - self._begun < self._means.pace.start_s

    async def _within_deadline(self, attempt: int) -> Report:
        self._report = msgspec.structs.replace(self._report, attempts=attempt)
        deadline_s = self._means.pace.deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                return await self._attempt()
        except TimeoutError as error:
            text = f"not done within {deadline_s:g} s; it was {self._report.step}"
            raise DeployError(Trouble.TOO_SLOW, text) from error

    async def _attempt(self) -> Report:
        self._say(Step.CONNECTING)
        async with self._means.connect(self._target) as shell:
            self._say(Step.LOOKING)
            seen = snapshot.read(await shell.run(snapshot.ASK))
            snapshot.require(seen, mac=self._target.mac, user=self._means.user)
            caution = snapshot.caution(seen)
            if caution:
                self._say(Step.LOOKING, caution)
            node = self._claim(seen)
            if self._means.dry:
                would = "; ".join(filter(None, (_would(seen), caution)))
                return self._say(Step.READY, would, node=node)
            self._say(Step.JOINING, caution, node=node)
            package = await self._pack(seen)
            return await self._install(shell, package, caution)

    def _claim(self, seen: Snapshot) -> str:
        """Return the board's id, which no other target may have had.

        Raises:
            DeployError: It has none, or one did.
        """
        try:
            node = self._means.packer.node(seen)
        except PiRackError as error:
            raise DeployError(Trouble.OTHER_BOARD, str(error)) from error
        first = self._claimed.setdefault(node, self._target.where)
        if first != self._target.where:
            text = f"{node} answers here and at {first}: one board, or a clone of it"
            raise DeployError(Trouble.OTHER_BOARD, text)
        return node

    async def _pack(self, seen: Snapshot) -> Package:
        try:
            return await self._means.packer.pack(seen)
        except (PiRackError, OSError) as error:
            raise DeployError(Trouble.NOT_JOINED, str(error)) from error

    async def _install(self, shell: Shell, package: Package, caution: str) -> Report:
        births, node = self._means.births, package.node
        self._say(Step.INSTALLING, caution)
        before = births.session(node)
        output = await shell.run(INSTALL, package.archive)
        if output.code != 0:
            raise _with(diagnose(output), caution)
        unchanged = UNCHANGED in output.stdout
        self._say(Step.STARTING)
        try:
            async with asyncio.timeout(self._means.pace.birth_s):
                version = await (
                    births.alive(node)
                    if unchanged
                    else births.newborn(node, after=before)
                )
        except TimeoutError as error:
            raise await self._silent(shell) from error
        text = f"agent {version}"
        return self._say(Step.UNCHANGED if unchanged else Step.DONE, text)

    async def _silent(self, shell: Shell) -> DeployError:
        """Return what the agent's journal says about its silence."""
        deaf = self._means.births.deaf
        if deaf:
            text = f"installed; its agent cannot be heard from here: {deaf}"
            return DeployError(Trouble.SILENT, text)
        said = ""
        try:
            async with asyncio.timeout(JOURNAL_S):
                output = await shell.run(JOURNAL)
                said = last_lines(output.stdout, JOURNAL_LINES)
        except (DeployError, TimeoutError):
            pass  # the silence is what counts
        text = (
            f"installed, but its agent did not speak within "
            f"{self._means.pace.birth_s:g} s; its journal: {said or 'empty'}"
        )
        return DeployError(Trouble.SILENT, text)

    def _say(
        self,
        step: Step,
        text: str = "",
        *,
        node: str = "",
        trouble: Trouble | None = None,
    ) -> Report:
        self._report = msgspec.structs.replace(
            self._report,
            step=step,
            text=text,
            node=node or self._report.node,
            trouble=trouble,
            took_s=self._means.clock() - self._begun,
        )
        self._progress(self._report)
        return self._report


def _with(error: DeployError, caution: str) -> DeployError:
    """Return an error about packages with what was known of the board before."""
    if not caution or error.trouble is not Trouble.PACKAGES:
        return error
    return DeployError(error.trouble, f"{error}; {caution}")


def _would(seen: Snapshot) -> str:
    if seen.installed:
        return "has an agent; would bring it up to date"
    return "would install the agent"
