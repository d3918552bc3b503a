"""One suite for everything that switches power: each driver keeps the same promises.

The bench of each looks at its relays from the other side, past the driver: ``level`` is
what the boards get, ``moves`` how often that changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Power
from master_service.power.outlets import (
    PowerError,
    PowerFatalError,
    PowerRetryableError,
)

if TYPE_CHECKING:
    from tests.system.power.benches import PowerBench

pytestmark = pytest.mark.system

FIRST, SECOND = "stack-1", "stack-2"


async def begin(bench: PowerBench) -> None:
    """Claim both outlets, and have the first on, the second off."""
    for outlet, on in ((FIRST, True), (SECOND, False)):
        await bench.outlets.claim(outlet, Power.ON if on else Power.OFF)
        await bench.outlets.switch(outlet, on=on)


async def test_an_outlet_goes_where_it_is_told_and_reads_as_it_is(
    power_bench: PowerBench,
) -> None:
    await begin(power_bench)
    for on in (False, True, False):
        await power_bench.outlets.switch(FIRST, on=on)
        assert power_bench.level(FIRST) is on
        read = await power_bench.outlets.read(FIRST)
        assert read is (Power.ON if on else Power.OFF)


async def test_one_outlet_moves_no_other(power_bench: PowerBench) -> None:
    await begin(power_bench)
    before = power_bench.moves(SECOND)
    await power_bench.outlets.switch(FIRST, on=False)
    assert (power_bench.level(FIRST), power_bench.level(SECOND)) == (False, False)
    assert power_bench.moves(SECOND) == before


async def test_switching_to_the_level_it_has_moves_nothing(
    power_bench: PowerBench,
) -> None:
    await begin(power_bench)
    before = power_bench.moves(FIRST)
    await power_bench.outlets.switch(FIRST, on=True)
    assert await power_bench.outlets.read(FIRST) is Power.ON
    assert power_bench.moves(FIRST) == before


async def test_claiming_what_nobody_ever_switched_moves_nothing(
    power_bench: PowerBench,
) -> None:
    before = power_bench.level(FIRST)
    await power_bench.outlets.claim(FIRST, Power.UNKNOWN)
    read = await power_bench.outlets.read(FIRST)
    assert read in {Power.UNKNOWN, Power.ON if before else Power.OFF}
    assert power_bench.moves(FIRST) == 0


async def test_claiming_again_with_another_record_moves_nothing(
    power_bench: PowerBench,
) -> None:
    await begin(power_bench)
    before = power_bench.moves(FIRST)
    await power_bench.outlets.claim(FIRST, Power.OFF)
    assert await power_bench.outlets.read(FIRST) is Power.ON
    assert power_bench.moves(FIRST) == before


@pytest.mark.parametrize("how", ["killed", "closed"])
async def test_an_end_and_a_new_start_move_nothing(
    power_bench: PowerBench, how: str
) -> None:
    await begin(power_bench)
    before = (power_bench.moves(FIRST), power_bench.moves(SECOND))
    if how == "closed":
        await power_bench.outlets.close()
        await power_bench.outlets.close()
    await power_bench.restart()
    # What the master recorded may be older than what it switched last.
    await power_bench.outlets.claim(FIRST, Power.OFF)
    await power_bench.outlets.claim(SECOND, Power.ON)
    assert await power_bench.outlets.read(FIRST) is Power.ON
    assert await power_bench.outlets.read(SECOND) is Power.OFF
    assert (power_bench.moves(FIRST), power_bench.moves(SECOND)) == before
    await power_bench.outlets.switch(FIRST, on=False)
    assert power_bench.level(FIRST) is False


async def test_an_outlet_that_does_not_exist_is_named_with_those_that_do(
    power_bench: PowerBench,
) -> None:
    outlets = power_bench.outlets
    for attempt in (
        outlets.claim("stack-9", Power.ON),
        outlets.read("stack-9"),
        outlets.switch("stack-9", on=True),
    ):
        with pytest.raises(PowerFatalError, match=r"stack-9.*stack-1, stack-2"):
            await attempt


async def test_hardware_that_fails_is_an_error_and_never_a_success(
    power_bench: PowerBench,
) -> None:
    await begin(power_bench)
    power_bench.break_down(FIRST)
    with pytest.raises(PowerError) as caught:
        await power_bench.outlets.switch(FIRST, on=False)
    assert isinstance(caught.value, (PowerFatalError, PowerRetryableError))
    assert str(caught.value)
    assert power_bench.level(FIRST) is True
    await power_bench.outlets.switch(SECOND, on=True)
    assert power_bench.level(SECOND) is True, "the other outlet is not to blame"


async def test_both_at_once_end_as_wanted(power_bench: PowerBench) -> None:
    await begin(power_bench)
    for on in (True, False, True):
        await asyncio.gather(
            power_bench.outlets.switch(FIRST, on=on),
            power_bench.outlets.switch(SECOND, on=on),
            power_bench.outlets.read(FIRST),
        )
        assert power_bench.level(FIRST) is power_bench.level(SECOND) is on
