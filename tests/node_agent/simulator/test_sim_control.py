"""Asking the simulator over MQTT."""

from collections.abc import Awaitable, Callable

import msgspec

from broker.contract.messages import Command, Phase, encode
from node_agent.simulator.rehearsal import Rehearsal

Make = Callable[..., Awaitable[Rehearsal]]


async def test_words_are_answered_with_a_row_for_each_target(stage: Rehearsal) -> None:
    reply = await stage.ask("crash", "s01n2 for=30")
    assert (reply.scope, reply.verb, reply.phase, reply.ok) == (
        "sim",
        "crash",
        Phase.DONE,
        True,
    )
    (row,) = reply.targets
    assert (row.name, row.phase, row.verified) == ("s01n2", Phase.DONE, True)
    assert row.stdout == "crash for 30 s"


async def test_json_is_understood_and_its_id_comes_back(stage: Rehearsal) -> None:
    command = Command(id="mine", args=("stack/2", "for=9"), by="anna")
    reply = await stage.ask("hang", encode(command).decode())
    assert (reply.id, reply.by) == ("mine", "anna")
    assert [row.name for row in reply.targets] == ["s02n1", "s02n2"]


async def test_a_board_may_be_named_by_its_id_or_as_a_scope(stage: Rehearsal) -> None:
    by_id = await stage.ask("crash", stage.machine("s01n1").id)
    by_scope = await stage.ask("heal", "node/s01n1")
    assert by_id.targets[0].name == by_scope.targets[0].name == "s01n1"


async def test_the_whole_rack_is_a_target(stage: Rehearsal) -> None:
    reply = await stage.ask("crash", "rack")
    assert len(reply.targets) == 4


async def test_a_wrong_word_is_refused_with_what_would_be_right(
    stage: Rehearsal,
) -> None:
    unknown = await stage.ask("explode", "s01n1")
    assert unknown.phase is Phase.REFUSED
    assert "known: crash, hang" in unknown.error
    nobody = await stage.ask("crash", "s99n9")
    assert "no simulated board is 's99n9'" in nobody.error
    empty = await stage.ask("crash", "")
    assert "needs a target" in empty.error


async def test_binary_rubbish_is_refused(stage: Rehearsal) -> None:
    topic = f"{stage.topics.prefix}/sim/cmd/crash"
    stage.broker.publish(topic, b"\xff\xfe\x00")
    await stage.settle()
    assert "no UTF-8" in stage.replies("crash")[-1].error


async def test_a_retained_command_is_refused_and_cleared_and_not_obeyed(
    stage: Rehearsal,
) -> None:
    reply = await stage.ask("crash", "s01n1", retain=True)
    assert reply.phase is Phase.REFUSED
    assert "never obeyed" in reply.error
    assert not any("/sim/cmd/" in topic for topic in stage.broker.retained)
    assert stage.status("s01n1") == "online"
    assert len(stage.replies("crash")) == 1, "the clearing is no command"


async def test_a_command_retained_before_the_start_is_refused_too(
    stage: Rehearsal,
) -> None:
    later = Rehearsal(stage.service.settings)
    topic = f"{later.topics.prefix}/sim/cmd/crash"
    later.broker.publish(topic, b"s01n1", retain=True)
    await later.start()
    assert later.replies("crash")[-1].phase is Phase.REFUSED
    assert topic not in later.broker.retained
    assert later.status("s01n1") == "online"
    await later.service.stop()


async def test_an_expired_command_is_answered_so(stage: Rehearsal) -> None:
    command = Command(id="old", args=("s01n1",), expires=1.0)
    reply = await stage.ask("crash", encode(command).decode())
    assert reply.phase is Phase.EXPIRED
    assert stage.status("s01n1") == "online"


async def test_a_fault_for_later_is_promised_and_kept(stage: Rehearsal) -> None:
    reply = await stage.ask("crash", "s01n1 after=3 for=60")
    assert reply.targets[0].stdout == "crash in 3 s"
    assert not reply.verified
    assert stage.status("s01n1") == "online"
    await stage.advance(3.2)
    assert stage.status("s01n1") == "offline"


async def test_a_receipt_of_a_large_rack_comes_in_parts(make_stage: Make) -> None:
    stage = await make_stage(stacks=30, boards=4)
    await stage.ask("under-voltage", "rack")
    replies = stage.replies("under-voltage")
    assert [reply.part for reply in replies] == [1, 2, 3]
    assert all(reply.parts == 3 for reply in replies)
    assert sum(len(reply.targets) for reply in replies) == 120
    assert all(len(msgspec.json.encode(reply)) < 16_384 for reply in replies)
