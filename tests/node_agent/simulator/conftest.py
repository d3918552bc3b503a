"""Started rehearsals: a whole simulated rack on a broker in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from node_agent.simulator.rehearsal import Rehearsal
from node_agent.simulator.settings import SimulatorSettings

Make = Callable[..., Awaitable[Rehearsal]]


@pytest.fixture
async def make_stage() -> AsyncIterator[Make]:
    """Make started racks with settings of one's own."""
    stages: list[Rehearsal] = []

    async def make(clock_s: float = 1000.0, **changes: Any) -> Rehearsal:  # noqa: ANN401  # any setting
        usual = SimulatorSettings(stacks=2, boards=2, interval_s=2.0, echo_port=0)
        stages.append(Rehearsal(msgspec.structs.replace(usual, **changes), clock_s))
        await stages[-1].start()
        return stages[-1]

    yield make
    for stage in stages:
        await stage.service.stop()


@pytest.fixture
async def stage(make_stage: Make) -> Rehearsal:
    """A started rack of two stacks of two that beats every two seconds."""
    return await make_stage()
