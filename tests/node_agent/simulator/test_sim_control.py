"""Asking the simulator over MQTT."""

from collections.abc import Awaitable, Callable

import msgspec

from broker.contract.messages import Command, Phase, encode
from tests.virtual_rack import VirtualRack

Make = Callable[..., Awaitable[VirtualRack]]


async def test_words_are_answered_with_a_row_for_each_target(rack: VirtualRack) -> None:
    reply = await rack.ask("crash", "s01n2 for=30")
    assert (reply.scope, reply.verb, reply.phase, reply.ok) == (
        "sim",
        "crash",
        Phase.DONE,
        True,
    )
    (row,) = reply.targets
    assert (row.name, row.phase, row.verified) == ("s01n2", Phase.DONE, True)
    assert row.stdout == "crash for 30 s"


async def test_json_is_understood_and_its_id_comes_back(rack: VirtualRack) -> None:
    command = Command(id="mine", args=("stack/2", "for=9"), by="anna")
    reply = await rack.ask("hang", encode(command).decode())
    assert (reply.id, reply.by) == ("mine", "anna")
    assert [row.name for row in reply.targets] == ["s02n1", "s02n2"]


async def test_a_board_may_be_named_by_its_id_or_as_a_scope(rack: VirtualRack) -> None:
    by_id = await rack.ask("crash", rack.node("s01n1").id)
    by_scope = await rack.ask("heal", "node/s01n1")
    assert by_id.targets[0].name == by_scope.targets[0].name == "s01n1"


async def test_the_whole_rack_is_a_target(rack: VirtualRack) -> None:
    reply = await rack.ask("crash", "rack")
    assert len(reply.targets) == 4


async def test_a_wrong_word_is_refused_with_what_would_be_right(
    rack: VirtualRack,
) -> None:
    unknown = await rack.ask("explode", "s01n1")
    assert unknown.phase is Phase.REFUSED
    assert "known: crash, hang" in unknown.error
    nobody = await rack.ask("crash", "s99n9")
    assert "no simulated board is 's99n9'" in nobody.error
    empty = await rack.ask("crash", "")
    assert "needs a target" in empty.error


async def test_binary_rubbish_is_refused(rack: VirtualRack) -> None:
    topic = f"{rack.topics.prefix}/sim/cmd/crash"
    rack.broker.publish(topic, b"\xff\xfe\x00")
    await rack.settle()
    assert "not UTF-8" in rack.replies("crash")[-1].error


async def test_a_retained_command_is_refused_and_cleared_and_not_obeyed(
    rack: VirtualRack,
) -> None:
    reply = await rack.ask("crash", "s01n1", retain=True)
    assert reply.phase is Phase.REFUSED
    assert "never obeyed" in reply.error
    assert not any("/sim/cmd/" in topic for topic in rack.broker.retained)
    assert rack.status("s01n1") == "online"
    assert len(rack.replies("crash")) == 1, "the clearing is no command"


async def test_a_command_retained_before_the_start_is_refused_too(
    rack: VirtualRack,
) -> None:
    later = VirtualRack(rack.service.settings)
    topic = f"{later.topics.prefix}/sim/cmd/crash"
    later.broker.publish(topic, b"s01n1", retain=True)
    await later.start()
    assert later.replies("crash")[-1].phase is Phase.REFUSED
    assert topic not in later.broker.retained
    assert later.status("s01n1") == "online"
    await later.service.stop()


async def test_an_expired_command_is_answered_so(rack: VirtualRack) -> None:
    command = Command(id="old", args=("s01n1",), expires=1.0)
    reply = await rack.ask("crash", encode(command).decode())
    assert reply.phase is Phase.EXPIRED
    assert rack.status("s01n1") == "online"


async def test_a_fault_for_later_is_promised_and_kept(rack: VirtualRack) -> None:
    reply = await rack.ask("crash", "s01n1 after=3 for=60")
    assert reply.targets[0].stdout == "crash in 3 s"
    assert not reply.verified
    assert rack.status("s01n1") == "online"
    await rack.advance(3.2)
    assert rack.status("s01n1") == "offline"


async def test_a_receipt_of_a_large_rack_comes_in_parts(make_rack: Make) -> None:
    rack = await make_rack(stacks=30, boards=4)
    await rack.ask("under-voltage", "rack")
    replies = rack.replies("under-voltage")
    assert [reply.part for reply in replies] == [1, 2, 3]
    assert all(reply.parts == 3 for reply in replies)
    assert sum(len(reply.targets) for reply in replies) == 120
    assert all(len(msgspec.json.encode(reply)) < 16_384 for reply in replies)
