"""Installs the agent on boards: some at a time, each with a second attempt."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec

from broker.common.errors import PiRackError
from provisioning.deploy.remote import (
    ASK,
    INSTALL,
    JOURNAL,
    JOURNAL_LINES,
    UNCHANGED,
    Shell,
    Snapshot,
    diagnose,
    last_lines,
    read_snapshot,
    require,
)
from provisioning.deploy.report import (
    DeployError,
    DeployStep,
    Progress,
    Report,
    Target,
    Trouble,
)
from provisioning.deploy.wheels import WheelPlan, WheelSupply

JOURNAL_S = 10.0


class OpenShell(Protocol):
    """Opens connections."""

    def __call__(self, target: Target) -> AbstractAsyncContextManager[Shell]:
        """Returns a connection to a board, which is made when it is entered.

        Raises:
            DeployError: It cannot connect.
        """


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to one board.

    Args:
        node: Id it will have in the rack.
        archive: A tar archive of one directory with a program ``install``; holds the
            board's password.
        version: Of the agent in it; empty where the package index decides.
    """

    node: str
    archive: bytes
    version: str = ""

    def __repr__(self) -> str:
        """Returns what may be logged."""
        return f"Package({self.node}, {len(self.archive)} bytes)"


class Packer(Protocol):
    """Registers boards with the broker and builds their packages."""

    def node(self, snapshot: Snapshot) -> str:
        """Returns the id a board will have.

        Raises:
            PiRackError: It has nothing to make one from.
        """

    async def pack(self, snapshot: Snapshot) -> Package:
        """Registers the board's credential with the broker, and returns its package.

        Raises:
            PiRackError: The broker or a file does not allow it.
            OSError: A file cannot be written.
        """


class AgentListener(Protocol):
    """Hears what the agents publish."""

    @property
    def deaf(self) -> str:
        """Why no agent can be heard just now; empty while they can."""

    def session(self, node: str) -> str:
        """Returns the session a node published last; empty: it never did."""

    async def newborn(self, node: str, *, after: str) -> str:
        """Waits for details of another session than ``after``; returns the version."""

    async def alive(self, node: str) -> str:
        """Waits for a heartbeat from now on; returns the agent's version."""


class DeployPace(msgspec.Struct, frozen=True, kw_only=True):
    """Waiting times, and how many boards at once.

    Args:
        deadline_s: For one attempt at one board, seconds.
        attempts: At most; what a person must repair first is not tried again.
        pause_s: Before the second attempt, seconds; half of it to one and a half.
        birth_s: For the agent's first message once it was started, seconds.
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


class DeployContext(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a deployment.

    Args:
        packer: Registers a board and builds its package.
        wheels: Makes wheels that no package index has; None where they are brought.
        user: Our user on the boards, for the advice.
        dry: Only report what would be done.
        chance: Returns a number from 0 to 1.
        clock: Monotonic, seconds.
    """

    connect: OpenShell
    packer: Packer
    agents: AgentListener
    wheels: WheelSupply | None = None
    user: str = "pi"
    pace: DeployPace = DeployPace()
    dry: bool = False
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


class Deployer:
    """Installs the agent on boards."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context

    async def deploy(
        self, targets: Sequence[Target], progress: Progress
    ) -> tuple[Report, ...]:
        """Installs the agent on every board and returns the results, in order.

        One that fails disturbs none of the others, and nothing is raised for it.

        Args:
            progress: Called at every step, the last one included.
        """
        gate = asyncio.Semaphore(self._context.pace.parallel)
        claimed: dict[str, str] = {}

        async def one(target: Target) -> Report:
            progress(Report(target=target, step=DeployStep.WAITING))
            async with gate:
                return await _Deployment(
                    self._context, target, claimed, gate, progress
                ).go()

        return tuple(await asyncio.gather(*map(one, targets)))


class _Deployment:
    """The deployment to one board.

    Args:
        claimed: Where each id was found first, for all boards of one deployment.
        gate: Limits how many boards are worked on at a time; held for this one.
    """

    def __init__(
        self,
        context: DeployContext,
        target: Target,
        claimed: dict[str, str],
        gate: asyncio.Semaphore,
        progress: Progress,
    ) -> None:
        self._context = context
        self._target = target
        self._claimed = claimed
        self._gate = gate
        self._deadline = asyncio.timeout(None)
        self._progress = progress
        self._begun = context.clock()
        self._report = Report(target=target, step=DeployStep.WAITING)

    async def go(self) -> Report:
        """Deploys, and returns the result."""
        attempts, attempt = self._context.pace.attempts, 1
        while True:
            try:
                return await self._within_deadline(attempt)
            except DeployError as error:
                starts = error.starting and self._may_start()
                again = starts or (attempt < attempts and not error.trouble.fatal)
                attempt += not starts
                step = DeployStep.AGAIN if again else DeployStep.FAILED
                self._say(step, str(error), trouble=error.trouble)
                if not again:
                    break
            await asyncio.sleep(
                self._context.pace.pause_s * (0.5 + self._context.chance())
            )
        return self._report

    def _may_start(self) -> bool:
        """Whether the board still has time to start its SSH server."""
        return self._context.clock() - self._begun < self._context.pace.start_s

    async def _within_deadline(self, attempt: int) -> Report:
        self._report = msgspec.structs.replace(self._report, attempts=attempt)
        deadline_s = self._context.pace.deadline_s
        try:
            async with asyncio.timeout(deadline_s) as self._deadline:
                return await self._attempt()
        except TimeoutError as error:
            text = f"not done within {deadline_s:g} s; it was {self._report.step}"
            raise DeployError(Trouble.TOO_SLOW, text) from error

    async def _attempt(self) -> Report:
        self._say(DeployStep.CONNECTING)
        async with self._context.connect(self._target) as shell:
            self._say(DeployStep.LOOKING)
            seen = read_snapshot(await shell.run(ASK))
            require(seen, mac=self._target.mac, user=self._context.user)
            node = self._claim(seen)
            supply = self._context.wheels
            plan = await self._plan_wheels(shell, seen, supply) if supply else None
            if self._context.dry:
                would = _would(seen) + (f"; {plan.text}" if plan else "")
                return self._say(DeployStep.READY, would, node=node)
            if supply and plan and not plan.kept:
                await self._make_wheels(shell, plan, supply)
            self._say(DeployStep.JOINING, node=node)
            package = await self._pack(seen)
            return await self._install(shell, package)

    async def _plan_wheels(
        self, shell: Shell, seen: Snapshot, supply: WheelSupply
    ) -> WheelPlan | None:
        """Returns how a board gets wheels that its index lacks, and reports that."""
        try:
            plan = await supply.plan(shell, seen)
        except OSError as error:
            raise DeployError(Trouble.WHEELS, str(error)) from error
        if plan:
            self._say(DeployStep.LOOKING, plan.text)
        return plan

    async def _make_wheels(
        self, shell: Shell, plan: WheelPlan, supply: WheelSupply
    ) -> None:
        """Makes the wheels of the board's kind, or waits for them."""
        wheels_s = self._context.pace.wheels_s
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
        self._say(DeployStep.WHEELS, text)

    @asynccontextmanager
    async def _aside(self) -> AsyncIterator[None]:
        """Frees this board's turn and suspends its deadline while it takes long."""
        if not self._deadline.expired():
            self._deadline.reschedule(None)
        self._gate.release()
        try:
            yield
        finally:
            await self._gate.acquire()
        now = asyncio.get_running_loop().time()
        self._deadline.reschedule(now + self._context.pace.deadline_s)

    def _claim(self, seen: Snapshot) -> str:
        """Returns the board's id, which no other target may have had.

        Raises:
            DeployError: It has none, or one did.
        """
        try:
            node = self._context.packer.node(seen)
        except PiRackError as error:
            raise DeployError(Trouble.OTHER_BOARD, str(error)) from error
        first = self._claimed.setdefault(node, self._target.where)
        if first != self._target.where:
            text = f"{node} answers here and at {first}: one board, or a clone of it"
            raise DeployError(Trouble.OTHER_BOARD, text)
        return node

    async def _pack(self, seen: Snapshot) -> Package:
        try:
            return await self._context.packer.pack(seen)
        except (PiRackError, OSError) as error:
            raise DeployError(Trouble.NOT_JOINED, str(error)) from error

    async def _install(self, shell: Shell, package: Package) -> Report:
        agents, node = self._context.agents, package.node
        self._say(DeployStep.INSTALLING)
        before = agents.session(node)
        output = await shell.run(INSTALL, package.archive)
        if output.code != 0:
            raise diagnose(output)
        unchanged = UNCHANGED in output.stdout
        self._say(DeployStep.STARTING)
        try:
            async with asyncio.timeout(self._context.pace.birth_s):
                version = await (
                    agents.alive(node)
                    if unchanged
                    else agents.newborn(node, after=before)
                )
        except TimeoutError as error:
            raise await self._silent(shell) from error
        text = f"agent {version}"
        return self._say(DeployStep.UNCHANGED if unchanged else DeployStep.DONE, text)

    async def _silent(self, shell: Shell) -> DeployError:
        """Returns what the agent's journal says about its silence."""
        deaf = self._context.agents.deaf
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
            f"{self._context.pace.birth_s:g} s; its journal: {said or 'empty'}"
        )
        return DeployError(Trouble.SILENT, text)

    def _say(
        self,
        step: DeployStep,
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
            took_s=self._context.clock() - self._begun,
        )
        self._progress(self._report)
        return self._report


def _would(seen: Snapshot) -> str:
    if seen.installed:
        return "has an agent; would bring it up to date"
    return "would install the agent"
