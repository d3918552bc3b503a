"""Whoever invents hardware addresses fills neither memory, journal nor message."""

import pytest

from broker.contract.messages import InstallStep
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.fake import RackBoard
from provisioning.run.state import InstallRun
from tests.provisioning.story import Scenes, Virtually


def test_a_flood_of_invented_boards_is_bounded_and_told_once(
    scene: Scenes, virtually: Virtually
) -> None:
    stage = scene(1, 2)
    for number in range(100):
        invented = RackBoard(f"dc:a6:32:ff:ff:{number:02x}", 1, boot_s=22)
        stage.rack.boards.append(invented)
    run = virtually(stage.install())
    told = [text for text in run.problems if "hardware addresses asked" in text]
    assert told == [text for text in told if "over 40" in text]
    assert len(told) == 1
    assert len(run.scanned[1]) <= 40


@pytest.mark.parametrize(
    ("step", "on"), [(InstallStep.BASELINE, "off"), (InstallStep.VERIFY, "on")]
)
def test_a_crowd_beside_all_windows_is_bounded_and_told_once(
    scene: Scenes, virtually: Virtually, step: InstallStep, on: str
) -> None:
    stage = scene(1, 2)

    async def install() -> InstallRun:
        installer = await stage.begin()
        await stage.reach(installer, lambda run: run.step is step)
        for number in range(100):
            invented = f"dc:a6:32:ff:ff:{number:02x}"
            stage.rack.source.hear(BoardHeard(mac=invented, kind=HeardKind.DISCOVER))
        return await stage.ended(installer)

    run = virtually(install())
    (told,) = run.problems
    assert f"hardware addresses talk with all stacks {on}" in told
    assert len(run.verified) == 2
    assert 30 <= len(run.findings) <= 40
