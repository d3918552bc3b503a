"""``kill -9`` of the master at every step, in a real process; and long chaos."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from broker.contract.messages import InstallStep, InstallVerdict
from provisioning.installer import Installer
from provisioning.journal import SqliteJournal
from provisioning.run.state import InstallRun
from tests.system.provisioning_netns.lab import MASTER, Lab
from tests.system.provisioning_netns.outlets import serve_outlets
from tests.system.provisioning_netns.rack import PACE, Rack, mac, reach, texts
from tests.system.provisioning_netns.test_install import boots, install_after_swaps

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(400)]

STEPS = (
    InstallStep.PREFLIGHT,
    InstallStep.ALL_OFF,
    InstallStep.BASELINE,
    InstallStep.SCAN,
    InstallStep.COMMIT,
    InstallStep.VERIFY,
)


def drive(
    lab: Lab, outlets: str, shape: tuple[int, int], step: str, after_s: float
) -> int:
    """Run a master until it dies or is done; return its exit code."""
    stacks, slots = map(str, shape)
    driver = str(Path(__file__).with_name("driver.py"))
    folder = str(lab.folder / "master")
    command = [
        sys.executable,
        driver,
        folder,
        outlets,
        stacks,
        slots,
        step,
        str(after_s),
    ]
    return lab.start(MASTER, *command).wait(timeout=120)


@pytest.mark.parametrize("after_s", [0.0, 0.15])
def test_a_master_killed_at_every_step_loses_and_doubles_no_board(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    rack = Rack(lab, 2, 2, boots(0.4))
    with serve_outlets(lab) as outlets:
        for step in STEPS:
            code = drive(lab, outlets, (2, 2), step, after_s)
            assert code == -signal.SIGKILL, step
        assert drive(lab, outlets, (2, 2), "never", 0) == 0
    run = last(lab)
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    places = {p.mac: p.address for p in run.places}
    assert places == {pi.mac: pi.address for pi in rack.pis.values()}
    assert len(set(places.values())) == 4


def last(lab: Lab) -> InstallRun:
    journal = SqliteJournal(lab.folder / "master" / "install.sqlite")
    journal.open()
    with contextlib.closing(journal):
        run = journal.last()
    assert run is not None
    return run


def test_twelve_stacks_again_and_again_with_three_boards_swapped(lab: Lab) -> None:
    rack = Rack(lab, 12, 4, boots(0.8))
    first = rack.install()
    assert rack.install().places == first.places
    run = install_after_swaps(rack, first, [(2, 3), (7, 1), (12, 4)])
    assert len(run.verified) == 48


def test_twelve_stacks_in_chaos_name_what_is_wrong_and_place_all_others(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent, cloned and foreign boards; master and DHCP server killed on the way."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    rack = Rack(lab, 12, 4, boots(0.8))
    rack.pis[2, 1].silent = True
    lab.pull_out(rack.pis[6, 1])
    rack.pis[6, 1] = lab.pi(mac(1, 1), stack=6, boot_s=0.5)
    rogue = lab.pi("00:11:22:33:44:55", boot_s=0)
    with serve_outlets(lab) as outlets:
        assert drive(lab, outlets, (12, 4), InstallStep.COMMIT, 0) == -signal.SIGKILL
        assert drive(lab, outlets, (12, 4), InstallStep.SCAN, 0.1) == -signal.SIGKILL
    pid_file = lab.folder / "master" / "dhcp" / "server.pid"

    async def beside(installer: Installer) -> None:
        await reach(
            installer, lambda r: r.step is InstallStep.SCAN and r.stack.number == 4
        )
        await asyncio.to_thread(rogue.power_on)
        await reach(
            installer, lambda r: r.step is InstallStep.SCAN and r.stack.number == 8
        )
        os.kill(int(pid_file.read_text()), signal.SIGKILL)

    run = rack.install(beside, pace=msgspec.structs.replace(PACE, retry_s=1))
    assert run.step is InstallStep.PROBLEMS
    assert len(run.verified) == 45
    assert "in stack 1 and in stack 6" in texts(run, InstallVerdict.IN_TWO_STACKS)
    assert "00:11:22:33:44:55 asked while stack 4" in texts(run, InstallVerdict.FOREIGN)
    missing = texts(run, InstallVerdict.MISSING)
    assert "s02n4" in missing
    assert "s06n4" in missing
    boards = [place.mac for place in run.places if place.mac]
    assert len(boards) == len(set(boards)) == 46
