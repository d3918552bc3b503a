"""An install run of the real master: ``kill -9`` in the middle, and on to the end."""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.client.link import Subscription
from broker.contract.messages import (
    Power,
    ScanPhase,
    Verdict,
)
from tests.system.rack_processes import (
    PATIENCE_S,
    TOPICS,
    CommandClient,
    InstallObserver,
    RackProcesses,
    echo_port,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(240)]

STACKS, BOARDS = 2, 2
POWER = "stagger_s = 0\nsettle_s = 0\nmin_off_s = 0"
INSTALL = """
[install]
backend = "fake"
interface = "simulated"
quiet_s = 0.1
window_s = 20
settle_s = 0.01
baseline_s = 0.1
probe_s = 0.3
stagger_s = 0.01
verify_s = 30
data_dir = """


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RackProcesses]:
    processes = RackProcesses(tmp_path_factory.mktemp("install"), STACKS, BOARDS)
    processes.configure(echo_port())
    text = processes.conf.read_text().replace("grace_s = 10", "grace_s = 2")
    text = text.replace("boot_s = 1.0", "boot_s = 0.1")
    text = text.replace("settle_s = 0.5\nmin_off_s = 0.5", POWER)
    # How a shutdown is proven is shown elsewhere; asking who is gone takes a second.
    text = re.sub('probe = ".*"', 'probe = "none"', text)
    processes.conf.write_text(f'{text}{INSTALL}"{processes.folder}/install"\n')
    processes.broker.start()
    processes.start("simulate")
    processes.start("master")
    yield processes
    processes.stop()


@pytest.fixture
async def client(processes: RackProcesses) -> AsyncIterator[CommandClient]:
    observed = InstallObserver()
    more = (TOPICS.install_state, TOPICS.install_stack("+"), TOPICS.master_status)
    client = CommandClient(
        processes.port, observed, [Subscription(one, qos=1) for one in more]
    )
    await client.link.start()
    assert await client.link.wait_connected(30)
    await online(client)
    yield client
    await client.link.stop()


async def online(client: CommandClient) -> None:
    whole = STACKS * BOARDS
    await client.until(lambda: client.observed.with_verdict(Verdict.ONLINE) == whole)


async def test_a_dry_run_of_the_master_switches_nothing(
    processes: RackProcesses, client: CommandClient
) -> None:
    observed = client.observed
    assert isinstance(observed, InstallObserver)
    (dry,) = await client.ask("rack install", "start", "dry")
    assert "it only says" in dry.targets[0].stdout
    await client.until(lambda: observed.install.step == "done")
    assert not processes.relays.switchings


async def test_a_run_that_is_killed_midway_goes_on_and_pirack_install_follows_it(
    processes: RackProcesses, client: CommandClient
) -> None:
    observed = client.observed
    assert isinstance(observed, InstallObserver)
    process = processes.start("install", "start", "--yes", stdout=subprocess.PIPE)
    await client.until(lambda: phase(observed, 1) is ScanPhase.PLACED)
    run = observed.scanned[1].run
    processes.kill("master")
    await client.until(lambda: observed.master_was_away)
    processes.start("master")
    await client.until(lambda: observed.install.run == run)
    (refused,) = await client.ask("rack power", "on")
    assert run in refused.error, "its stacks are held from the first moment on"
    told, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    said = told.decode()

    assert process.returncode == 0, said
    for words_said in (
        "It will do this:",
        "-- the master is away; it goes on with the run when it is back",
        "stack 1  verified  2 of 2",
        "  4 of 4 boards",
    ):
        assert words_said in said
    await client.until(lambda: observed.install.step.startswith("done"))
    assert observed.install.step == "done", observed.install.problems
    assert observed.install.run == run
    assert observed.install.done == STACKS * BOARDS
    assert {phase(observed, n) for n in (1, 2)} == {ScanPhase.VERIFIED}
    assert set(processes.relays.levels.values()) == {Power.ON}
    await online(client)


def phase(observed: InstallObserver, stack: int) -> ScanPhase | None:
    seen = observed.scanned.get(stack)
    return seen.phase if seen else None
