"""Topics: what is built can be read, and nothing else can."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import TopicError
from broker.contract.topics import (
    CommandTopic,
    Fixed,
    FixedTopic,
    NodeLeaf,
    NodeTopic,
    ReplyTopic,
    Scope,
    ScopeKind,
    StackTopic,
    Topics,
    check_name,
    matches,
    stack_number,
)

TOPICS = Topics("lab")
NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=32)
STACKS = st.integers(1, 9999)
SCOPES = st.one_of(
    st.builds(Scope, st.sampled_from([ScopeKind.NODE, ScopeKind.TAG]), NAMES),
    st.builds(Scope, st.just(ScopeKind.STACK), STACKS.map(str)),
    st.sampled_from([Scope(ScopeKind.RACK), Scope(ScopeKind.SIM)]),
)


@given(NAMES, st.sampled_from(NodeLeaf))
def test_a_node_topic_is_read_as_it_was_built(node: str, leaf: NodeLeaf) -> None:
    assert TOPICS.parse(TOPICS.node(node, leaf)) == NodeTopic(node, leaf)


@given(STACKS)
def test_a_stack_topic_is_read_as_it_was_built(stack: int) -> None:
    assert TOPICS.parse(TOPICS.stack(stack)) == StackTopic(stack)


@given(SCOPES, NAMES)
def test_commands_and_replies_are_read_as_they_were_built(
    scope: Scope, verb: str
) -> None:
    assert TOPICS.parse(TOPICS.command(scope, verb)) == CommandTopic(scope, verb)
    assert TOPICS.parse(TOPICS.reply(scope, verb)) == ReplyTopic(scope, verb)
    assert Scope.parse(str(scope)) == scope


@pytest.mark.parametrize("which", Fixed)
def test_a_fixed_topic_is_read_as_it_was_built(which: Fixed) -> None:
    assert TOPICS.parse(TOPICS.fixed(which)) == FixedTopic(which)


@given(st.text())
def test_anything_else_is_refused_and_never_crashes(text: str) -> None:
    for topic in (text, f"{TOPICS.prefix}/{text}"):
        with contextlib.suppress(TopicError):
            TOPICS.parse(topic)


@pytest.mark.parametrize(
    "below",
    [
        "",
        "node",
        "node/pi-1",
        "node/pi-1/status/more",
        "node/PI-1/status",
        "node//status",
        "node/a.b/status",
        "node/pi-1/unknown",
        "stack/0/state",
        "stack/03/state",
        "stack/three/state",
        "stack/10000/state",
        "cmd/ping",
        "rack/cmd",
        "rack/cmd/ping/now",
        "rack/extra/cmd/ping",
        "sim/extra/cmd/crash",
        "planet/cmd/ping",
        "node/+/cmd/ping",
        "tag/a b/cmd/ping",
        "rack/cmd/Ping",
        "event/more",
    ],
)
def test_a_topic_with_wrong_levels_is_refused(below: str) -> None:
    with pytest.raises(TopicError):
        TOPICS.parse(f"{TOPICS.prefix}/{below}")


@pytest.mark.parametrize(
    "topic", ["pirack/v1/attic/event", "pirack/v2/lab/event", "x/pirack/v1/lab/event"]
)
def test_a_topic_of_another_rack_or_version_is_refused(topic: str) -> None:
    with pytest.raises(TopicError, match="does not start with pirack/v1/lab/"):
        TOPICS.parse(topic)


@pytest.mark.parametrize("name", ["", "A", "a.b", "a b", "ä", "$sys", "+", "x" * 33])
def test_a_name_outside_the_alphabet_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(TopicError, match=r"rack .* must match \[a-z0-9-\]\{1,32\}"):
        check_name(name, "rack")


@pytest.mark.parametrize("text", ["0", "-1", "01", "1.5", "٣", "10000", ""])
def test_a_stack_that_is_no_number_from_1_to_9999_is_refused(text: str) -> None:
    with pytest.raises(TopicError, match="from 1 to 9999"):
        stack_number(text)


@pytest.mark.parametrize("text", ["rack/x", "node/", "stack", "galaxy", "node/A", ""])
def test_a_scope_nobody_could_mean_is_refused(text: str) -> None:
    with pytest.raises(TopicError):
        Scope.parse(text)


def test_an_unknown_scope_is_answered_with_the_right_ones() -> None:
    with pytest.raises(TopicError, match="use node/<id or name>, stack/<n>"):
        Scope.parse("galaxy")


@given(SCOPES.filter(lambda scope: scope.kind is not ScopeKind.SIM), NAMES)
def test_exactly_one_filter_of_the_master_covers_a_command(
    scope: Scope, verb: str
) -> None:
    command = TOPICS.command(scope, verb)
    assert sum(matches(one, command) for one in TOPICS.command_filters()) == 1
    reply = TOPICS.reply(scope, verb)
    assert sum(matches(one, reply) for one in TOPICS.reply_filters()) == 1


def test_the_simulators_commands_are_not_the_masters() -> None:
    command = TOPICS.command(Scope(ScopeKind.SIM), "crash")
    assert not any(matches(one, command) for one in TOPICS.command_filters())


@pytest.mark.parametrize(
    ("topic_filter", "topic", "covered"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("+/+", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/+/c", "a//c", True),
    ],
)
def test_filters_cover_what_the_standard_says(
    topic_filter: str, topic: str, *, covered: bool
) -> None:
    assert matches(topic_filter, topic) is covered
