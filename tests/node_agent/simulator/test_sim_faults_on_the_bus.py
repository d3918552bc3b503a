"""What each fault looks like to somebody who only sees MQTT."""

from collections.abc import Awaitable, Callable

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Phase, ThrottleFlag
from tests.virtual_rack import VirtualRack

NAMES = ("s01n1", "s01n2", "s02n1", "s02n2")

Make = Callable[..., Awaitable[VirtualRack]]


async def test_every_board_is_online_with_details_of_its_own(rack: VirtualRack) -> None:
    assert [rack.status(name) for name in NAMES] == ["online"] * 4
    assert len({rack.details(name).boot_id for name in NAMES}) == 4
    assert rack.details("s01n1").simulated
    assert rack.beats("s02n2")


async def test_a_crashed_agent_is_declared_offline_by_the_broker(
    rack: VirtualRack,
) -> None:
    session = rack.details("s01n2").session
    await rack.ask("crash", "s01n2")
    assert rack.status("s01n2") == "offline"
    assert rack.details("s01n2").reason == "", "nobody said goodbye"
    assert rack.details("s01n2").session == session
    assert rack.node("s01n2").answers_ping
    assert rack.status("s01n1") == "online"


async def test_a_crash_ends_when_its_time_is_over_without_a_reboot(
    rack: VirtualRack,
) -> None:
    before = rack.details("s01n2")
    await rack.ask("crash", "s01n2 for=5")
    await rack.advance(4.5)
    assert rack.status("s01n2") == "offline"
    await rack.advance(1.0)
    after = rack.details("s01n2")
    assert rack.status("s01n2") == "online"
    assert after.session != before.session
    assert after.boot_id == before.boot_id


async def test_a_hung_agent_is_connected_and_silent_until_it_heals(
    rack: VirtualRack,
) -> None:
    await rack.ask("hang", "s01n1")
    beats = len(rack.beats("s01n1"))
    await rack.order("s01n1", "identify")
    await rack.advance(10)
    assert len(rack.beats("s01n1")) == beats
    assert rack.results("s01n1") == []
    assert rack.node("s01n1").blinks == 0, "it did not hear the order either"
    assert rack.status("s01n1") == "online"
    assert rack.node("s01n1").answers_ping
    await rack.ask("heal", "s01n1")
    await rack.advance(5)
    assert len(rack.beats("s01n1")) > beats


async def test_an_agent_that_hung_over_a_broker_restart_introduces_itself(
    rack: VirtualRack,
) -> None:
    await rack.ask("hang", "s01n1")
    rack.broker.stop()
    rack.broker.start(keep_retained=False)
    await rack.settle()
    await rack.ask("heal", "s01n1")
    assert rack.details("s01n1").session == rack.beats("s01n1")[-1].session


@pytest.mark.parametrize("fault", ["freeze", "network-cut"])
async def test_a_board_without_network_is_silent_until_keepalive_ends_it(
    rack: VirtualRack, fault: str
) -> None:
    await rack.ask(fault, "s02n1")
    beats = len(rack.beats("s02n1"))
    await rack.advance(10)
    assert len(rack.beats("s02n1")) == beats
    assert not rack.node("s02n1").answers_ping
    assert rack.status("s02n1") == "online", "nobody has noticed yet"
    rack.broker.kill(rack.node("s02n1").id)
    await rack.settle()
    assert rack.status("s02n1") == "offline"


@pytest.mark.parametrize("fault", ["freeze", "network-cut"])
async def test_a_board_whose_network_is_back_connects_again(
    rack: VirtualRack, fault: str
) -> None:
    before = rack.details("s02n1")
    await rack.ask(fault, "s02n1")
    rack.broker.kill(rack.node("s02n1").id)
    await rack.advance(10)
    await rack.ask("heal", "s02n1")
    await rack.advance(3)
    assert rack.status("s02n1") == "online"
    assert rack.details("s02n1").session != before.session
    assert rack.details("s02n1").boot_id == before.boot_id
    assert rack.node("s02n1").answers_ping


async def test_a_crash_behind_a_cut_cable_is_not_told_to_the_broker(
    rack: VirtualRack,
) -> None:
    await rack.ask("network-cut", "s02n1")
    await rack.ask("crash", "s02n1")
    assert rack.status("s02n1") == "online"


async def test_a_brown_out_silences_one_stack_and_its_cure_boots_it(
    rack: VirtualRack,
) -> None:
    before = {name: rack.details(name).boot_id for name in NAMES}
    reply = await rack.ask("brown-out", "stack/1")
    assert [row.name for row in reply.targets] == ["s01n1", "s01n2"]
    assert not rack.node("s01n1").answers_ping
    assert rack.node("s02n1").answers_ping
    await rack.ask("heal", "stack/1")
    await rack.advance(4)
    after = {name: rack.details(name).boot_id for name in NAMES}
    changed = [name for name in NAMES if before[name] != after[name]]
    assert changed == ["s01n1", "s01n2"]


async def test_under_voltage_is_reported_now_and_afterwards_since_boot(
    rack: VirtualRack,
) -> None:
    await rack.ask("under-voltage", "s01n1 for=3")
    await rack.advance(2.5)
    during = rack.beats("s01n1")[-1].throttled
    await rack.advance(4)
    after = rack.beats("s01n1")[-1].throttled
    assert during is not None
    assert after is not None
    assert ThrottleFlag.UNDER_VOLTAGE in during.now
    assert after.now == ()
    assert ThrottleFlag.UNDER_VOLTAGE in after.since_boot


async def test_a_duplicate_takes_the_place_of_the_board_under_another_name(
    rack: VirtualRack,
) -> None:
    mine = rack.details("s01n1")
    await rack.ask("duplicate", "s01n1")
    theirs = rack.details("s01n1")
    assert theirs.hostname != mine.hostname
    assert theirs.boot_id != mine.boot_id
    assert theirs.macs != mine.macs
    assert theirs.serial == mine.serial
    assert rack.broker.clients().count(rack.node("s01n1").id) == 1


async def test_when_the_duplicate_is_gone_the_board_has_its_place_again(
    rack: VirtualRack,
) -> None:
    mine = rack.details("s01n1")
    await rack.ask("duplicate", "s01n1 for=5")
    await rack.advance(6)
    rack.broker.kill(rack.node("s01n1").id)
    rack.broker.reconnect(rack.node("s01n1").id)
    await rack.settle()
    assert rack.details("s01n1").boot_id == mine.boot_id
    assert rack.status("s01n1") == "online"


async def test_a_slow_boot_takes_as_long_as_was_said(rack: VirtualRack) -> None:
    await rack.ask("slow-boot", "s01n1 seconds=20")
    before = rack.details("s01n1").boot_id
    await rack.order("s01n1", "reboot")
    await rack.advance(19)
    assert rack.status("s01n1") == "offline"
    await rack.advance(2)
    assert rack.status("s01n1") == "online"
    assert rack.details("s01n1").boot_id != before


async def test_a_skewed_clock_shows_in_the_heartbeat(rack: VirtualRack) -> None:
    await rack.ask("clock-skew", "s01n1 seconds=-7200")
    await rack.advance(3)
    skewed, right = rack.beats("s01n1")[-1], rack.beats("s01n2")[-1]
    assert skewed.ts - right.ts == pytest.approx(-7200, abs=3)


async def test_a_fault_cannot_happen_to_a_board_that_does_not_run(
    rack: VirtualRack,
) -> None:
    await rack.ask("brown-out", "stack/1")
    reply = await rack.ask("crash", "s01n1")
    assert reply.phase is Phase.FAILED
    assert reply.targets[0].error == "s01n1 is off: nothing runs that could crash"


async def test_a_reboot_cures_an_agent_that_hangs(rack: VirtualRack) -> None:
    await rack.ask("hang", "s01n1")
    await rack.ask("brown-out", "stack/1 for=1")
    await rack.advance(6)
    beats = len(rack.beats("s01n1"))
    await rack.advance(3)
    assert len(rack.beats("s01n1")) > beats


async def test_a_fault_of_the_configuration_for_nobody_is_refused_at_once(
    make_rack: Make,
) -> None:
    with pytest.raises(ConfigError, match="no simulated board is 's99n1'"):
        await make_rack(faults=("crash s99n1",))


async def test_a_fault_of_the_configuration_begins_after_its_delay(
    make_rack: Make,
) -> None:
    rack = await make_rack(faults=("crash s01n1 for=3 after=4",))
    assert rack.status("s01n1") == "online"
    await rack.advance(4)
    assert rack.status("s01n1") == "offline"
    await rack.advance(4)
    assert rack.status("s01n1") == "online"


async def test_no_boot_of_a_simulator_that_was_restarted_comes_again(
    make_rack: Make,
) -> None:
    first = await make_rack()
    before = first.details("s01n1").boot_id
    again = await make_rack(clock_s=1060.0)
    assert again.details("s01n1").boot_id != before
