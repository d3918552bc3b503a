"""Brings the agent to boards, some at a time, and tells how far each is."""

import asyncio
from collections.abc import Sequence

from provisioning.deploy.target import Progress, Report, Step, Target
from provisioning.deploy.visit import Means, Visit


class Deployer:
    """Brings the agent to boards.

    Args:
        means: By which it does so.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def deploy(
        self, targets: Sequence[Target], progress: Progress
    ) -> tuple[Report, ...]:
        """Bring the agent to every board and return what came of each, in order.

        One that fails disturbs none of the others, and nothing is raised for it.

        Args:
            targets: The boards.
            progress: Told of every step, of the last one too.
        """
        gate = asyncio.Semaphore(self._means.pace.parallel)
        claimed: dict[str, str] = {}

        async def one(target: Target) -> Report:
            progress(Report(target=target, step=Step.WAITING))
            async with gate:
                return await Visit(self._means, target, claimed, gate, progress).go()

        return tuple(await asyncio.gather(*map(one, targets)))
