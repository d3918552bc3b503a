"""One board gets its agent: look, join, install, hear it; twice where that may help."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from broker.common.errors import PiRackError
from provisioning.deploy import snapshot
from provisioning.deploy.remote import INSTALL, JOURNAL, JOURNAL_LINES, UNCHANGED
from provisioning.deploy.seams import Births, Connect, Package, Packer, Shell
from provisioning.deploy.snapshot import Snapshot
from provisioning.deploy.target import Progress, Report, Step, Target
from provisioning.deploy.trouble import DeployError, Trouble, diagnose, last_lines
from provisioning.deploy.wheels import Plan, WheelSupply

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
        wheels_s: For a board to make wheels, or to wait for those of another, seconds;
            beside ``deadline_s``. The slowest boards compile for half an hour.
    """

    parallel: int = 4
    deadline_s: float = 120.0
    attempts: int = 2
    pause_s: float = 3.0
    birth_s: float = 45.0
    start_s: float = 90.0
    wheels_s: float = 5400.0


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """By which boards get their agents.

    Args:
        connect: The way into a board.
        packer: Lets a board join and says what goes there.
        births: Hears the agents.
        wheels: Has wheels made that no package index has; None where they are brought.
        user: Who we are on the boards, for the advice.
        pace: Waiting times.
        dry: Look, say what would be done, and do nothing.
        chance: Returns a number from 0 to 1.
        clock: Monotonic, seconds.
    """

    connect: Connect
    packer: Packer
    births: Births
    wheels: WheelSupply | None = None
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
        gate: Lets so many visits in at a time, this one among them.
        progress: Told of every step.
    """

    def __init__(
        self,
        means: Means,
        target: Target,
        claimed: dict[str, str],
        gate: asyncio.Semaphore,
        progress: Progress,
    ) -> None:
        self._means = means
        self._target = target
        self._claimed = claimed
        self._gate = gate
        self._deadline = asyncio.timeout(None)
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
            async with asyncio.timeout(deadline_s) as self._deadline:
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
            node = self._claim(seen)
            supply = self._means.wheels
            plan = await self._plan_wheels(shell, seen, supply) if supply else None
            if self._means.dry:
                would = _would(seen) + (f"; {plan.text}" if plan else "")
                return self._say(Step.READY, would, node=node)
            if supply and plan and not plan.kept:
                await self._make_wheels(shell, plan, supply)
            self._say(Step.JOINING, node=node)
            package = await self._pack(seen)
            return await self._install(shell, package)

    async def _plan_wheels(
        self, shell: Shell, seen: Snapshot, supply: WheelSupply
    ) -> Plan | None:
        """Return how a board gets wheels that its index lacks, having said it."""
        try:
            plan = await supply.plan(shell, seen)
        except OSError as error:
            raise DeployError(Trouble.WHEELS, str(error)) from error
        if plan:
            self._say(Step.LOOKING, plan.text)
        return plan

    async def _make_wheels(self, shell: Shell, plan: Plan, supply: WheelSupply) -> None:
        """Make the wheels of the board's kind, or wait for them."""
        wheels_s = self._means.pace.wheels_s
        try:
            async with self._aside(), asyncio.timeout(wheels_s):
                await supply.make(shell, plan, self._target.label, self._say_wheels)
        except TimeoutError as error:
            text = f"no wheels within {wheels_s:g} s"
            raise DeployError(Trouble.TOO_SLOW, text) from error
        except OSError as error:
            text = f"the wheels cannot be kept: {error}"
            raise DeployError(Trouble.WHEELS, text) from error

    def _say_wheels(self, text: str) -> None:
        self._say(Step.WHEELS, text)

    @asynccontextmanager
    async def _aside(self) -> AsyncIterator[None]:
        """Lets another visit in, and no deadline pass, while this one takes long."""
        if not self._deadline.expired():
            self._deadline.reschedule(None)
        self._gate.release()
        try:
            yield
        finally:
            await self._gate.acquire()
        now = asyncio.get_running_loop().time()
        self._deadline.reschedule(now + self._means.pace.deadline_s)

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

    async def _install(self, shell: Shell, package: Package) -> Report:
        births, node = self._means.births, package.node
        self._say(Step.INSTALLING)
        before = births.session(node)
        output = await shell.run(INSTALL, package.archive)
        if output.code != 0:
            raise diagnose(output)
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


def _would(seen: Snapshot) -> str:
    if seen.installed:
        return "has an agent; would bring it up to date"
    return "would install the agent"
