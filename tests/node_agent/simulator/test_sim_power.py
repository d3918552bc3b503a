"""Outlets, boots and shutdowns, as the bus sees them."""

from broker.contract.messages import Phase as OrderPhase
from broker.contract.messages import Power
from node_agent.simulator.board_state import BoardPhase as Phase
from tests.virtual_rack import VirtualRack


async def test_an_outlet_that_goes_off_cuts_its_stack_without_a_goodbye(
    rack: VirtualRack,
) -> None:
    await rack.outlet(1, Power.OFF)
    assert rack.node("s01n1").phase is Phase.OFF
    assert rack.details("s01n1").reason == ""
    beats = len(rack.beats("s01n1"))
    await rack.advance(5)
    assert len(rack.beats("s01n1")) == beats
    assert rack.node("s02n1").phase is Phase.RUNNING


async def test_an_outlet_that_comes_on_boots_its_stack_with_new_boot_ids(
    rack: VirtualRack,
) -> None:
    before = rack.details("s01n1").boot_id
    await rack.outlet(1, Power.OFF)
    await rack.outlet(1, Power.ON)
    assert rack.node("s01n1").phase is Phase.BOOTING
    assert not rack.node("s01n1").answers_ping
    await rack.advance(4)
    assert rack.status("s01n1") == "online"
    assert rack.details("s01n1").boot_id != before
    assert rack.beats("s01n1")[-1].uptime_s < 5


async def test_an_outlet_of_unknown_state_changes_nothing(rack: VirtualRack) -> None:
    await rack.outlet(1, Power.UNKNOWN)
    assert rack.node("s01n1").phase is Phase.RUNNING


async def test_an_outlet_that_was_off_before_the_start_keeps_its_boards_off(
    rack: VirtualRack,
) -> None:
    await rack.outlet(1, Power.OFF)
    later = VirtualRack(rack.service.settings)
    later.broker.retained.update(rack.broker.retained)
    later.broker.retained = {
        topic: message
        for topic, message in later.broker.retained.items()
        if "/stack/" in topic
    }
    await later.start()
    assert later.node("s01n1").phase is Phase.OFF
    assert later.status("s01n1") == ""
    assert later.status("s02n1") == "online"
    await later.service.stop()


async def test_boards_appear_only_after_outlets_had_time_to_say_that_they_are_off(
    rack: VirtualRack,
) -> None:
    later = VirtualRack(rack.service.settings)
    await later.service.start()
    await later.advance(0.1)
    assert later.broker.clients() == ["simulator"]
    await later.advance(0.2)
    assert len(later.broker.clients()) == 5
    await later.service.stop()


async def test_boards_appear_although_there_is_no_broker_and_wait_for_it(
    rack: VirtualRack,
) -> None:
    later = VirtualRack(rack.service.settings)
    later.broker.stop()
    await later.service.start()
    await later.advance(6)
    assert later.node("s01n1").phase is Phase.RUNNING
    later.broker.start()
    await later.settle()
    assert later.status("s01n1") == "online"
    await later.service.stop()


async def test_a_brown_out_ignores_that_the_outlet_is_on(rack: VirtualRack) -> None:
    await rack.ask("brown-out", "stack/1")
    await rack.outlet(1, Power.ON)
    await rack.advance(10)
    assert rack.node("s01n1").phase is Phase.OFF


async def test_a_reboot_says_goodbye_and_comes_back_with_another_boot_id(
    rack: VirtualRack,
) -> None:
    before = rack.details("s01n1")
    await rack.order("s01n1", "reboot")
    await rack.advance(0.5)
    gone = rack.details("s01n1")
    assert rack.status("s01n1") == "offline"
    assert gone.reason == "reboot ordered by test"
    assert gone.boot_id == before.boot_id
    await rack.advance(4)
    assert rack.status("s01n1") == "online"
    assert rack.details("s01n1").boot_id != before.boot_id
    assert rack.results("s01n1")[-1].phase is OrderPhase.DONE


async def test_the_order_that_caused_a_reboot_is_not_obeyed_after_it(
    rack: VirtualRack,
) -> None:
    await rack.order("s01n1", "reboot")
    await rack.advance(5)
    boot = rack.details("s01n1").boot_id
    await rack.order("s01n1", "reboot")
    await rack.advance(5)
    assert rack.details("s01n1").boot_id == boot


async def test_a_restarted_agent_comes_back_in_a_new_session_of_the_same_boot(
    rack: VirtualRack,
) -> None:
    before = rack.details("s01n1")
    await rack.order("s01n1", "restart-agent")
    await rack.advance(0.5)
    assert rack.status("s01n1") == "offline"
    assert rack.details("s01n1").reason == "restart-agent ordered by test"
    assert rack.node("s01n1").answers_ping
    await rack.advance(2)
    after = rack.details("s01n1")
    assert rack.status("s01n1") == "online"
    assert after.session != before.session
    assert (after.boot_id, after.reason) == (before.boot_id, "")


async def test_a_board_whose_power_goes_while_its_agent_restarts_stays_dark(
    rack: VirtualRack,
) -> None:
    await rack.order("s01n1", "restart-agent")
    await rack.advance(0.5)
    await rack.outlet(1, Power.OFF)
    await rack.advance(3)
    assert rack.status("s01n1") == "offline"
    assert rack.node("s01n1").phase is Phase.OFF


async def test_a_board_that_was_shut_down_stays_off_until_its_power_is_cycled(
    rack: VirtualRack,
) -> None:
    await rack.order("s01n1", "shutdown")
    await rack.advance(1)
    assert rack.status("s01n1") == "offline"
    assert rack.node("s01n1").phase is Phase.HALTED
    assert not rack.node("s01n1").answers_ping
    await rack.outlet(1, Power.ON)
    await rack.advance(10)
    assert rack.node("s01n1").phase is Phase.HALTED
    await rack.outlet(1, Power.OFF)
    await rack.outlet(1, Power.ON)
    await rack.advance(4)
    assert rack.status("s01n1") == "online"


async def test_power_that_flickers_while_booting_starts_the_boot_anew(
    rack: VirtualRack,
) -> None:
    await rack.outlet(1, Power.OFF)
    await rack.outlet(1, Power.ON)
    await rack.advance(2)
    await rack.outlet(1, Power.OFF)
    await rack.outlet(1, Power.ON)
    await rack.advance(2)
    assert rack.node("s01n1").phase is Phase.BOOTING
    await rack.advance(2)
    assert rack.node("s01n1").phase is Phase.RUNNING


async def test_stopping_the_simulation_lets_every_board_say_goodbye(
    rack: VirtualRack,
) -> None:
    await rack.service.stop()
    assert rack.status("s01n1") == "offline"
    assert rack.details("s02n2").reason == "simulation ended"


async def test_identify_is_noticed_by_the_board(rack: VirtualRack) -> None:
    await rack.order("s01n1", "identify")
    await rack.settle()
    assert rack.node("s01n1").blinks == 1


async def test_temperature_answers_as_the_real_command_does(rack: VirtualRack) -> None:
    await rack.order("s01n1", "temperature")
    await rack.settle()
    result = rack.results("s01n1")[-1]
    assert result.exit_code == 0
    assert result.stdout.endswith(" °C\n")
    assert 25 < float(result.stdout.split()[0]) < 90
