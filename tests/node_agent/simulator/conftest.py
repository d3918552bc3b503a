"""Started simulated racks on a broker in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from node_agent.simulator.settings import SimulatorSettings
from tests.virtual_rack import VirtualRack

Make = Callable[..., Awaitable[VirtualRack]]


@pytest.fixture
async def make_rack() -> AsyncIterator[Make]:
    """Makes started racks with settings of one's own."""
    racks: list[VirtualRack] = []

    async def make(clock_s: float = 1000.0, **changes: Any) -> VirtualRack:  # noqa: ANN401  # any setting
        usual = SimulatorSettings(stacks=2, boards=2, interval_s=2.0, echo_port=0)
        racks.append(VirtualRack(msgspec.structs.replace(usual, **changes), clock_s))
        await racks[-1].start()
        return racks[-1]

    yield make
    for rack in racks:
        await rack.service.stop()


@pytest.fixture
async def rack(make_rack: Make) -> VirtualRack:
    """A started rack of two stacks of two that beats every two seconds."""
    return await make_rack()
