"""What is found before an install run, when nothing is cut yet."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import InstallStep, Power
from tests.provisioning.story import Scenes, Virtually


def test_places_the_network_has_no_more_are_named_before_anything_is_cut(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    virtually(stage.install())
    moved = {"address": "10.0.0.1/24", "pool_first": "10.0.0.200"}
    stage.rack.subnet = msgspec.structs.replace(
        stage.rack.subnet, **moved, pool_last="10.0.0.250"
    )
    stage.rack.switches.clear()
    run = virtually(stage.install())
    assert run.step is InstallStep.FAILED
    assert "192.168.23.10 for s01n1 is not in 10.0.0.0/24; " in run.problems[-1]
    assert not stage.rack.switches


def test_outlets_that_are_slow_to_read_are_read_at_once(
    scene: Scenes, virtually: Virtually, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = scene(12, 1)
    read = stage.rack.power.read

    async def slowly(stack: int) -> Power:
        await asyncio.sleep(10)
        return await read(stack)

    monkeypatch.setattr(stage.rack.power, "read", slowly)
    assert virtually(stage.install(dry=True)).step is InstallStep.DONE
