"""Names, places, tags and forgetting: changed by command, kept through a restart."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import TopicError
from broker.contract.messages import EventKind, Phase
from broker.contract.topics import NodeLeaf, Topics
from master_service.rack.events import DAY_S
from master_service.rack.records import NodeRecord
from master_service.rack.registry import MAX_NODES, Registry
from master_service.rack.store import PRUNE_EVERY

if TYPE_CHECKING:
    from tests.master_service.bench import Bench

T = Topics("lab")


async def test_name_place_and_tags_survive_a_restart(bench: Bench) -> None:
    for where, payload in (
        ("node/s01n1 name", "alpha"),
        ("node/s02n2 place", "none"),
        ("node/alpha place", "2/2"),
        ("node/alpha tag", "db -web"),
    ):
        assert (await bench.ask(where, payload))[-1].ok is True
    for _ in range(2):
        state = bench.node("pi-11")
        assert (state.name, state.stack, state.slot) == ("alpha", 2, 2)
        assert state.tags == ("db",)
        assert bench.node("pi-22").stack is None
        assert sum(bench.stack(1).totals.values()) == 1
        await bench.restart()


async def test_an_edited_node_outweighs_the_configuration_and_others_follow_it(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 name", "alpha")
    await bench.restart()
    assert bench.node("pi-11").name == "alpha"
    assert bench.node("pi-12").name == "s01n2"


async def test_a_new_name_is_an_address_at_once_and_the_old_one_is_free(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 name", "alpha")
    assert (await bench.ask("node/alpha ping"))[0].phase is Phase.ACCEPTED
    assert (await bench.ask("node/s01n1 ping"))[0].phase is Phase.REFUSED
    assert (await bench.ask("node/s01n2 name", "s01n1"))[-1].ok is True


async def test_forget_clears_every_topic_and_lists_them(bench: Bench) -> None:
    final = (await bench.ask("node/s01n1 forget"))[-1]
    assert final.ok is True
    listed = final.targets[0].stdout.splitlines()
    assert T.node("pi-11", NodeLeaf.STATUS) in listed
    left = [topic for topic in bench.broker.retained if "/pi-11/" in topic]
    assert left == []
    assert "s01n1" not in bench.verdicts


async def test_forget_says_nothing_where_no_clearing_is_due(bench: Bench) -> None:
    """An empty heartbeat or order is noise for whoever reads those topics."""
    for leaf in (NodeLeaf.HEARTBEAT, NodeLeaf.ORDER, NodeLeaf.RESULT):
        bench.broker.publish(T.node("pi-12", leaf), b"old", qos=1, retain=True)
    await bench.calm()
    before = len(bench.broker.published)
    await bench.ask("node/s01n1 forget")
    empty = {m.topic for m in bench.broker.published[before:] if not m.payload}
    assert {topic.rpartition("/")[2] for topic in empty} - {"forget"} == {
        "status",
        "details",
        "state",
    }
    await bench.ask("node/s01n2 forget")
    assert [t for t in bench.broker.retained if "/pi-1" in t] == []


async def test_a_late_message_does_not_bring_a_forgotten_node_back(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 forget")
    bench.boards["pi-11"].come()
    await bench.calm()
    assert "s01n1" not in bench.verdicts
    assert [t for t in bench.broker.retained if "/pi-11/" in t] == []
    await bench.restart()
    assert "s01n1" not in bench.verdicts
    assert "was forgotten" in (await bench.ask("node/pi-11 ping"))[-1].error


async def test_a_forgotten_node_comes_back_when_a_person_says_so(bench: Bench) -> None:
    await bench.ask("node/s01n1 forget")
    assert (await bench.ask("node/pi-11 forget", "undo"))[-1].ok is True
    bench.boards["pi-11"].come()
    await bench.calm()
    assert bench.verdicts["s01n1"] == "online"
    assert (bench.node("pi-11").stack, bench.node("pi-11").slot) == (1, 1)


async def test_a_forgotten_node_keeps_the_name_a_person_gave_it_over_a_restart(
    bench: Bench,
) -> None:
    await bench.ask("node/s01n1 name", "attic")
    await bench.ask("node/attic forget")
    await bench.ask("node/pi-11 forget", "undo")
    assert "attic" in bench.verdicts
    await bench.restart()
    assert "attic" in bench.verdicts


async def test_who_was_forgotten_before_a_restart_comes_back_as_it_was(
    bench: Bench,
) -> None:
    for where, payload in (
        ("node/s02n2 place", "none"),
        ("node/s01n1 name", "attic"),
        ("node/attic place", "2/2"),
        ("node/attic tag", "db -web"),
        ("node/attic forget", ""),
    ):
        assert (await bench.ask(where, payload))[-1].ok is True
    await bench.restart()
    assert "attic" not in bench.verdicts
    undone = (await bench.ask("node/pi-11 forget", "undo"))[-1]
    assert "its details come when it connects" in undone.targets[0].stdout
    assert "not kept" not in undone.targets[0].stdout
    state = bench.node("pi-11")
    assert (state.name, state.stack, state.slot) == ("attic", 2, 2)
    assert state.tags == ("db",)


async def test_a_board_still_in_its_box_gets_name_and_place_and_is_no_incident(
    bench: Bench,
) -> None:
    assert (await bench.ask("node/pi-99 forget", "undo new"))[-1].ok is True
    assert (await bench.ask("node/pi-99 name", "spare"))[-1].ok is True
    await bench.restart()
    await bench.pass_time(300)
    assert bench.verdicts["spare"] == "unseen"
    assert bench.node("pi-99").reason == "never heard"
    assert not [event for event in bench.events if event.incident]
    bench.broker.publish(T.node("pi-99", NodeLeaf.STATUS), b"online", retain=True)
    await bench.calm()
    assert "spare was heard for the first time" in [e.text for e in bench.events]


async def test_undo_new_admits_only_what_is_called_like_no_other(bench: Bench) -> None:
    for word in ("pi-11", "s01n1"):
        answer = (await bench.ask(f"node/{word} forget", "undo new"))[-1]
        assert (answer.ok, "was not forgotten" in answer.error) == (False, True)
    await bench.ask("node/pi-11 forget")
    assert (await bench.ask("node/pi-11 forget", "undo new"))[-1].ok is True
    assert "s01n1" in bench.verdicts


async def test_undo_says_that_a_node_was_forgotten_for_good(bench: Bench) -> None:
    bench.broker.publish(T.node("pi-99", NodeLeaf.STATUS), b"online", retain=True)
    await bench.calm()
    await bench.ask("node/pi-99 forget")
    bench.clock_jump_s = 400 * DAY_S
    await bench.restart()
    for _ in range(PRUNE_EVERY):  # age is looked at while it runs, never at a start
        bench.master.rack.outbox.note(EventKind.SERVICE, "a line")
    await bench.pass_time(1)
    await bench.restart()
    undone = (await bench.ask("node/pi-99 forget", "undo"))[-1]
    assert "what was known of it is not kept any more" in undone.targets[0].stdout


async def test_a_node_that_comes_back_takes_nobodys_place(bench: Bench) -> None:
    await bench.ask("node/s01n1 forget")
    await bench.ask("node/s01n2 place", "1/1")
    await bench.ask("node/s01n2 name", "s01n1")
    await bench.ask("node/pi-11 forget", "undo")
    assert "pi-11" in bench.verdicts
    assert (bench.node("pi-11").stack, bench.node("pi-12").slot) == (None, 1)


async def test_the_state_of_a_node_nobody_knows_is_a_ghost_and_goes(
    bench: Bench,
) -> None:
    ghost, stack = T.node("pi-ghost", NodeLeaf.STATE), T.stack(99)
    for topic in (ghost, stack):
        bench.broker.publish(topic, b"{}", retain=True)
    await bench.calm()
    assert ghost not in bench.broker.retained
    assert stack not in bench.broker.retained


async def test_snapshot_publishes_every_state_again(bench: Bench) -> None:
    before = len(bench.broker.sent(T.node("+", NodeLeaf.STATE)))
    assert (await bench.ask("rack snapshot"))[-1].ok is True
    await bench.calm()
    assert len(bench.broker.sent(T.node("+", NodeLeaf.STATE))) == before + 4


def test_ids_without_end_do_not_fill_the_memory() -> None:
    registry = Registry(T)
    for number in range(MAX_NODES):
        registry.add(f"pi-{number}")
    with pytest.raises(TopicError, match="one too many"):
        registry.add("pi-more")


@pytest.mark.parametrize("change", ["forget", "place none"])
async def test_a_board_stays_where_it_is_while_its_outlet_is_switched(
    bench: Bench, change: str
) -> None:
    await bench.ask("stack/1 power", "cycle confirm=stack/1")
    verb, *args = change.split()
    await bench.ask(f"node/pi-11 {verb}", " ".join(args))
    final = bench.final(f"node/pi-11 {verb}")
    assert final.phase is Phase.REFUSED
    assert "busy: power is " in final.error
    assert "wait for its end, or `cancel` it" in final.error
    assert bench.node("pi-11").stack == 1


@pytest.mark.parametrize("name", ["pi-99000000", "pi-0123abcd"])
async def test_a_name_that_could_become_a_boards_id_is_refused(
    bench: Bench, name: str
) -> None:
    reply = (await bench.ask("node/s01n1 name", name))[-1]
    assert reply.targets[0].phase is Phase.REFUSED
    assert "form of a board's id" in reply.targets[0].error
    assert bench.node("pi-11").name == "s01n1"


async def test_a_name_that_is_a_forgotten_boards_id_is_refused(bench: Bench) -> None:
    await bench.ask("node/pi-12 forget")
    reply = (await bench.ask("node/s01n1 name", "pi-12"))[-1]
    assert reply.targets[0].phase is Phase.REFUSED


async def test_a_board_whose_id_is_the_name_of_another_takes_no_command_of_it(
    bench: Bench,
) -> None:
    await bench.all_come()
    assert (await bench.ask("node/s01n1 name", "door-cam"))[-1].ok is True
    late = type(bench.boards["pi-11"])(bench, "door-cam", "127.77.9.9")
    bench.boards["door-cam"] = late
    late.come()
    await bench.calm()
    reply = (await bench.ask("node/door-cam reboot"))[-1]
    assert reply.phase is Phase.REFUSED
    assert "give pi-11 another name first" in reply.error
    assert not late.orders
    assert not bench.boards["pi-11"].orders
    assert (await bench.ask("node/pi-11 name", "front"))[-1].ok is True
    await bench.ask("node/door-cam ping")
    assert [order.verb for order in late.orders] == ["ping"]
    await bench.ask("node/front ping")
    assert [order.verb for order in bench.boards["pi-11"].orders] == ["ping"]


@pytest.mark.parametrize("first", ["name", "id"])
def test_names_and_ids_of_an_older_database_are_loaded_as_they_are(first: str) -> None:
    records = [NodeRecord("pi-11", "pi-99000000"), NodeRecord("pi-99000000", "x")]
    registry = Registry(T)
    registry.restore(records if first == "name" else reversed(records), ())
    assert set(registry.nodes) == {"pi-11", "pi-99000000"}
    found = registry.find("pi-99000000")
    assert found is None or found.id == "pi-99000000"


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcdef"))))
def test_no_word_ever_means_another_board(steps: list[tuple[str, str]]) -> None:
    """Ids and names from one small set: what a word finds has it, or nothing is."""
    registry = Registry(T)
    for node_id, name in steps:
        node = registry.add(node_id)
        with contextlib.suppress(TopicError):
            registry.rename(node, name)
        for word in "abcdef":
            having = {n.id for n in registry.nodes.values() if word in {n.id, n.name}}
            found = registry.find(word)
            assert {found.id} == having if found is not None else len(having) != 1


async def test_a_board_that_comes_back_is_asked_for_its_details(bench: Bench) -> None:
    await bench.all_come()
    await bench.ask("node/pi-11 forget")
    assert (await bench.ask("node/pi-11 forget", "undo"))[-1].ok is True
    assert bench.boards["pi-11"].orders[-1].verb == "refresh"
