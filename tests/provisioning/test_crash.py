"""A process that dies at any turn of a run: the next one finishes it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from broker.contract.messages import InstallStep, Power
from provisioning.common.errors import JournalError
from provisioning.interfaces import RunJournal
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun

if TYPE_CHECKING:
    from tests.provisioning.harness import Rig

NewRig = Callable[..., "Rig"]
Virtually = Callable[[Coroutine[Any, Any, Any]], Any]


class DyingJournal:
    """Ends the process, as it were, before or after it writes for the n-th time."""

    def __init__(self, inner: RunJournal, dies_at: int, *, written: bool) -> None:
        self._inner = inner
        self.left = dies_at
        self._written = written
        self.steps: list[InstallStep] = []

    def last(self) -> InstallRun | None:
        return self._inner.last()

    def places(self) -> tuple[Place, ...]:
        return self._inner.places()

    async def keep(self, places: tuple[Place, ...]) -> None:
        await self._inner.keep(places)

    async def save(self, run: InstallRun) -> None:
        self.left -= 1
        dies = self.left == 0
        if self._written or not dies:
            await self._inner.save(run)
            self.steps.append(run.step)
        if dies:
            raise asyncio.CancelledError


async def interrupted(
    rig: "Rig", dies_at: int, *, written: bool
) -> tuple[InstallRun, bool]:
    """Install with one death on the way; return the end and whether it came to it."""
    healthy = rig.journal
    rig.journal = dying = DyingJournal(healthy, dies_at, written=written)
    installer = rig.installer()
    await installer.start()
    try:
        await installer.begin(rig.params)
        async with asyncio.timeout(3600):
            while installer.run is None or not installer.run.over:  # virtual time
                await asyncio.sleep(1)
                if dying.left <= 0:
                    break
    except asyncio.CancelledError:
        pass
    died = dying.left <= 0
    await installer.stop()
    await asyncio.sleep(3)
    rig.journal = healthy
    installer = rig.installer()
    await installer.start()
    if installer.run is None:
        await installer.begin(rig.params)
    run = await rig.ended(installer)
    await installer.stop()
    return run, died


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_a_run_killed_at_any_write_loses_and_doubles_no_board(
    new_rig: NewRig, virtually: Virtually, *, written: bool
) -> None:
    undisturbed = virtually(new_rig(2, 2).install())
    steps: set[InstallStep] = set()
    for dies_at in range(1, 1000):
        rig = new_rig(2, 2)
        run, died = virtually(interrupted(rig, dies_at, written=written))
        assert run.step is InstallStep.DONE, (dies_at, run.problems, run.findings)
        assert run.places == undisturbed.places
        assert len(run.verified) == 4
        assert set(rig.rack.levels.values()) == {Power.ON}
        for stack in (1, 2):
            switched = [on for one, on in rig.rack.switches if one == stack]
            assert sorted(switched) == switched, "a stack that came on was cut"
        reserved = rig.rack.backend.applied()
        assert len({row.address for row in reserved}) == len(reserved) == 4
        steps.update(s.step for s in rig.memory.runs)
        if not died:
            break
    assert dies_at > 10
    assert steps == {
        InstallStep.PREFLIGHT,
        InstallStep.ALL_OFF,
        InstallStep.BASELINE,
        InstallStep.SCAN,
        InstallStep.COMMIT,
        InstallStep.VERIFY,
        InstallStep.DONE,
    }


class SlowJournal(DyingJournal):
    """Takes its time, as a card does."""

    async def save(self, run: InstallRun) -> None:
        await asyncio.sleep(3)
        await self._inner.save(run)


def test_a_run_counts_as_over_only_once_that_is_written_down(
    new_rig: NewRig, virtually: Virtually
) -> None:
    """Who stops the installer then would start it with a run that goes on."""
    rig = new_rig(1, 2)
    rig.journal = SlowJournal(rig.journal, 0, written=True)
    assert virtually(rig.install()).step is InstallStep.DONE
    assert rig.memory.runs[-1].step is InstallStep.DONE


class FullJournal(DyingJournal):
    """Has no room left at the n-th turn, until somebody makes some."""

    full = True

    async def save(self, run: InstallRun) -> None:
        self.left -= 1
        if self.left <= 0 and self.full:
            text = "database or disk is full"
            raise JournalError(text)
        await self._inner.save(run)


def test_a_journal_that_cannot_be_written_ends_the_run_where_it_is(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.journal = FullJournal(rig.journal, 6, written=False)
    run = virtually(rig.install())
    assert run.step is InstallStep.FAILED
    assert run.problems == (
        "install run stopped where it is: database or disk is full",
    )
    assert rig.announcer.states[-1].step == "failed"


def test_a_run_that_was_told_as_failed_is_not_taken_up_by_a_later_start(
    new_rig: NewRig, virtually: Virtually
) -> None:
    rig = new_rig(2, 2)
    rig.journal = journal = FullJournal(rig.journal, 6, written=False)

    async def install() -> InstallRun:
        installer = await rig.begin()
        run = await rig.ended(installer)
        journal.full = False
        await asyncio.sleep(60)
        await installer.stop()
        return run

    assert virtually(install()).step is InstallStep.FAILED
    switched = list(rig.rack.switches)

    async def start_again() -> None:
        installer = rig.installer()
        await installer.start()
        await asyncio.sleep(60)
        await installer.stop()

    virtually(start_again())
    assert rig.rack.switches == switched
