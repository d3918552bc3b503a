"""An install run of the real master: ``kill -9`` in the middle, and on to the end."""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from broker.client.link import Message, Subscription
from broker.common.errors import BrokerError
from broker.contract.messages import (
    InstallStack,
    InstallState,
    Power,
    ScanPhase,
    Verdict,
    decode,
)
from broker.contract.topics import FixedTopic, InstallStackTopic
from tests.system.master_site import PATIENCE_S, TOPICS, Asker, Eyes, Site, echo_port

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
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("install"), STACKS, BOARDS)
    site.configure(echo_port())
    text = site.conf.read_text().replace("grace_s = 10", "grace_s = 2")
    text = text.replace("boot_s = 1.0", "boot_s = 0.1")
    text = text.replace("settle_s = 0.5\nmin_off_s = 0.5", POWER)
    # How a shutdown is proven is shown elsewhere; asking who is gone takes a second.
    text = re.sub('probe = ".*"', 'probe = "none"', text)
    site.conf.write_text(f'{text}{INSTALL}"{site.folder}/install"\n')
    try:
        site.start_broker()
    except BrokerError as error:
        pytest.skip(str(error))
    site.start("simulate")
    site.start("master")
    yield site
    site.stop()


class InstallEyes(Eyes):
    """Sees what is published of an install run."""

    def __init__(self) -> None:
        super().__init__()
        self.install = InstallState()
        self.scanned: dict[int, InstallStack] = {}
        self.master_was_away = False

    def on_message(self, message: Message) -> None:
        if not message.payload:
            return
        match TOPICS.parse(message.topic):
            case InstallStackTopic(stack=stack):
                self.scanned[stack] = decode(message.payload, InstallStack)
            case FixedTopic() if message.topic == TOPICS.master_status:
                if message.payload == b"offline":
                    self.master_was_away, self.install = True, InstallState()
            case FixedTopic() if message.topic == TOPICS.install_state:
                self.install = decode(message.payload, InstallState)
            case _:
                super().on_message(message)


@pytest.fixture
async def asker(site: Site) -> AsyncIterator[Asker]:
    eyes = InstallEyes()
    more = (TOPICS.install_state, TOPICS.install_stack("+"), TOPICS.master_status)
    asker = Asker(site.port, eyes, [Subscription(one, qos=1) for one in more])
    await asker.link.start()
    assert await asker.link.wait_connected(30)
    await online(asker)
    yield asker
    await asker.link.stop()


async def online(asker: Asker) -> None:
    whole = STACKS * BOARDS
    await asker.until(lambda: asker.eyes.with_verdict(Verdict.ONLINE) == whole)


async def test_a_dry_run_of_the_master_switches_nothing(
    site: Site, asker: Asker
) -> None:
    eyes = asker.eyes
    assert isinstance(eyes, InstallEyes)
    (dry,) = await asker.ask("rack install", "start", "dry")
    assert "it only says" in dry.targets[0].stdout
    await asker.until(lambda: eyes.install.step == "done")
    assert not site.relays.switchings


async def test_a_run_that_is_killed_midway_goes_on_and_pirack_install_follows_it(
    site: Site, asker: Asker
) -> None:
    eyes = asker.eyes
    assert isinstance(eyes, InstallEyes)
    process = site.start("install", "start", "--yes", stdout=subprocess.PIPE)
    await asker.until(lambda: phase(eyes, 1) is ScanPhase.PLACED)
    run = eyes.scanned[1].run
    site.kill("master")
    await asker.until(lambda: eyes.master_was_away)
    site.start("master")
    await asker.until(lambda: eyes.install.run == run)
    (refused,) = await asker.ask("rack power", "on")
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
    await asker.until(lambda: eyes.install.step.startswith("done"))
    assert eyes.install.step == "done", eyes.install.problems
    assert eyes.install.run == run
    assert eyes.install.done == STACKS * BOARDS
    assert {phase(eyes, n) for n in (1, 2)} == {ScanPhase.VERIFIED}
    assert set(site.relays.levels.values()) == {Power.ON}
    await online(asker)


def phase(eyes: InstallEyes, stack: int) -> ScanPhase | None:
    seen = eyes.scanned.get(stack)
    return seen.phase if seen else None
