"""What each fault looks like to somebody who only sees MQTT."""

from collections.abc import Awaitable, Callable

import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Phase, ThrottleFlag
from node_agent.simulator.rehearsal import Rehearsal

NAMES = ("s01n1", "s01n2", "s02n1", "s02n2")

Make = Callable[..., Awaitable[Rehearsal]]


async def test_every_board_is_online_with_details_of_its_own(stage: Rehearsal) -> None:
    assert [stage.status(name) for name in NAMES] == ["online"] * 4
    assert len({stage.details(name).boot_id for name in NAMES}) == 4
    assert stage.details("s01n1").simulated
    assert stage.beats("s02n2")


async def test_a_crashed_agent_is_declared_offline_by_the_broker(
    stage: Rehearsal,
) -> None:
    session = stage.details("s01n2").session
    await stage.ask("crash", "s01n2")
    assert stage.status("s01n2") == "offline"
    assert stage.details("s01n2").reason == "", "nobody said goodbye"
    assert stage.details("s01n2").session == session
    assert stage.machine("s01n2").answers_echo
    assert stage.status("s01n1") == "online"


async def test_a_crash_ends_when_its_time_is_over_without_a_reboot(
    stage: Rehearsal,
) -> None:
    before = stage.details("s01n2")
    await stage.ask("crash", "s01n2 for=5")
    await stage.advance(4.5)
    assert stage.status("s01n2") == "offline"
    await stage.advance(1.0)
    after = stage.details("s01n2")
    assert stage.status("s01n2") == "online"
    assert after.session != before.session
    assert after.boot_id == before.boot_id


async def test_a_hung_agent_is_connected_and_says_nothing(stage: Rehearsal) -> None:
    await stage.ask("hang", "s01n1")
    beats = len(stage.beats("s01n1"))
    await stage.order("s01n1", "identify")
    await stage.advance(10)
    assert len(stage.beats("s01n1")) == beats
    assert stage.results("s01n1") == []
    assert stage.machine("s01n1").blinks == 0, "it did not hear the order either"
    assert stage.status("s01n1") == "online"
    assert stage.machine("s01n1").answers_echo


async def test_a_hung_agent_that_is_healed_beats_again(stage: Rehearsal) -> None:
    await stage.ask("hang", "s01n1")
    await stage.advance(5)
    beats = len(stage.beats("s01n1"))
    await stage.ask("heal", "s01n1")
    await stage.advance(5)
    assert len(stage.beats("s01n1")) > beats


async def test_an_agent_that_hung_over_a_broker_restart_introduces_itself(
    stage: Rehearsal,
) -> None:
    await stage.ask("hang", "s01n1")
    stage.broker.stop()
    stage.broker.start(keep_retained=False)
    await stage.settle()
    await stage.ask("heal", "s01n1")
    assert stage.details("s01n1").session == stage.beats("s01n1")[-1].session


@pytest.mark.parametrize("fault", ["freeze", "network-cut"])
async def test_a_board_without_network_is_silent_until_keepalive_ends_it(
    stage: Rehearsal, fault: str
) -> None:
    await stage.ask(fault, "s02n1")
    beats = len(stage.beats("s02n1"))
    await stage.advance(10)
    assert len(stage.beats("s02n1")) == beats
    assert not stage.machine("s02n1").answers_echo
    assert stage.status("s02n1") == "online", "nobody has noticed yet"
    stage.broker.kill(stage.machine("s02n1").id)
    await stage.settle()
    assert stage.status("s02n1") == "offline"


@pytest.mark.parametrize("fault", ["freeze", "network-cut"])
async def test_a_board_whose_network_is_back_connects_again(
    stage: Rehearsal, fault: str
) -> None:
    before = stage.details("s02n1")
    await stage.ask(fault, "s02n1")
    stage.broker.kill(stage.machine("s02n1").id)
    await stage.advance(10)
    await stage.ask("heal", "s02n1")
    await stage.advance(3)
    assert stage.status("s02n1") == "online"
    assert stage.details("s02n1").session != before.session
    assert stage.details("s02n1").boot_id == before.boot_id
    assert stage.machine("s02n1").answers_echo


async def test_a_crash_behind_a_cut_cable_is_not_told_to_the_broker(
    stage: Rehearsal,
) -> None:
    await stage.ask("network-cut", "s02n1")
    await stage.ask("crash", "s02n1")
    assert stage.status("s02n1") == "online"


async def test_a_brown_out_silences_one_stack_and_its_cure_boots_it(
    stage: Rehearsal,
) -> None:
    before = {name: stage.details(name).boot_id for name in NAMES}
    reply = await stage.ask("brown-out", "stack/1")
    assert [row.name for row in reply.targets] == ["s01n1", "s01n2"]
    assert not stage.machine("s01n1").answers_echo
    assert stage.machine("s02n1").answers_echo
    await stage.ask("heal", "stack/1")
    await stage.advance(4)
    after = {name: stage.details(name).boot_id for name in NAMES}
    changed = [name for name in NAMES if before[name] != after[name]]
    assert changed == ["s01n1", "s01n2"]


async def test_under_voltage_is_reported_now_and_afterwards_since_boot(
    stage: Rehearsal,
) -> None:
    await stage.ask("under-voltage", "s01n1 for=3")
    await stage.advance(2.5)
    during = stage.beats("s01n1")[-1].throttled
    await stage.advance(4)
    after = stage.beats("s01n1")[-1].throttled
    assert during is not None
    assert after is not None
    assert ThrottleFlag.UNDER_VOLTAGE in during.now
    assert after.now == ()
    assert ThrottleFlag.UNDER_VOLTAGE in after.since_boot


async def test_a_duplicate_takes_the_place_of_the_board_under_another_name(
    stage: Rehearsal,
) -> None:
    mine = stage.details("s01n1")
    await stage.ask("duplicate", "s01n1")
    theirs = stage.details("s01n1")
    assert theirs.hostname != mine.hostname
    assert theirs.boot_id != mine.boot_id
    assert theirs.macs != mine.macs
    assert theirs.serial == mine.serial
    assert stage.broker.clients().count(stage.machine("s01n1").id) == 1


async def test_when_the_duplicate_is_gone_the_board_has_its_place_again(
    stage: Rehearsal,
) -> None:
    mine = stage.details("s01n1")
    await stage.ask("duplicate", "s01n1 for=5")
    await stage.advance(6)
    stage.broker.kill(stage.machine("s01n1").id)
    stage.broker.reconnect(stage.machine("s01n1").id)
    await stage.settle()
    assert stage.details("s01n1").boot_id == mine.boot_id
    assert stage.status("s01n1") == "online"


async def test_a_slow_boot_takes_as_long_as_was_said(stage: Rehearsal) -> None:
    await stage.ask("slow-boot", "s01n1 seconds=20")
    before = stage.details("s01n1").boot_id
    await stage.order("s01n1", "reboot")
    await stage.advance(19)
    assert stage.status("s01n1") == "offline"
    await stage.advance(2)
    assert stage.status("s01n1") == "online"
    assert stage.details("s01n1").boot_id != before


async def test_a_skewed_clock_shows_in_the_heartbeat(stage: Rehearsal) -> None:
    await stage.ask("clock-skew", "s01n1 seconds=-7200")
    await stage.advance(3)
    skewed, right = stage.beats("s01n1")[-1], stage.beats("s01n2")[-1]
    assert skewed.ts - right.ts == pytest.approx(-7200, abs=3)


async def test_a_fault_cannot_happen_to_a_board_that_does_not_run(
    stage: Rehearsal,
) -> None:
    await stage.ask("brown-out", "stack/1")
    reply = await stage.ask("crash", "s01n1")
    assert reply.phase is Phase.FAILED
    assert reply.targets[0].error == "s01n1 is off: nothing runs that could crash"


async def test_a_reboot_cures_an_agent_that_hangs(stage: Rehearsal) -> None:
    await stage.ask("hang", "s01n1")
    await stage.ask("brown-out", "stack/1 for=1")
    await stage.advance(6)
    beats = len(stage.beats("s01n1"))
    await stage.advance(3)
    assert len(stage.beats("s01n1")) > beats


async def test_a_fault_of_the_configuration_for_nobody_is_refused_at_once(
    make_stage: Make,
) -> None:
    with pytest.raises(ConfigError, match="no simulated board is 's99n1'"):
        await make_stage(faults=("crash s99n1",))


async def test_a_fault_of_the_configuration_begins_after_its_delay(
    make_stage: Make,
) -> None:
    stage = await make_stage(faults=("crash s01n1 for=3 after=4",))
    assert stage.status("s01n1") == "online"
    await stage.advance(4)
    assert stage.status("s01n1") == "offline"
    await stage.advance(4)
    assert stage.status("s01n1") == "online"


async def test_no_boot_of_a_simulator_that_was_restarted_comes_again(
    make_stage: Make,
) -> None:
    first = await make_stage()
    before = first.details("s01n1").boot_id
    again = await make_stage(clock_s=1060.0)
    assert again.details("s01n1").boot_id != before
