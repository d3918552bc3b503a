"""Whatever anybody publishes to a node: counted, and nothing runs or stops."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.messages import Phase
from broker.topics import HOME_ASSISTANT_STATUS
from tests.node_agent.stage import ORDER, TOPICS, Stage

BATCH = 100
_TOPICS = st.sampled_from(
    [ORDER, TOPICS.master_details, TOPICS.master_status, HOME_ASSISTANT_STATUS]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "verb", "args"]), inner, max_size=4)
    ),
    max_leaves=8,
)
_ORDERS = st.fixed_dictionaries(
    {"id": st.sampled_from(["", "x" * 300]) | st.integers(), "verb": st.just("reboot")},
    optional={"args": _JSON, "ttl_s": _JSON, "expires": _JSON, "by": _JSON},
)
"""An order to reboot that no node may take, for its id is none."""
_PAYLOADS = (
    st.binary(max_size=200)
    | (_JSON | _ORDERS).map(lambda value: str(value).replace("'", '"').encode())
    | st.sampled_from([b"{", b"[" * 5000, b'{"id":NaN}', bytes(1_000_000)])
)
_MESSAGES = st.lists(
    st.tuples(_TOPICS, _PAYLOADS, st.booleans()), min_size=BATCH, max_size=BATCH
)


@pytest.mark.timeout(240)
def test_ten_thousand_random_messages_stop_no_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen, kinds = 0, set[str]()

    @settings(max_examples=100, database=None, suppress_health_check=list(HealthCheck))
    @given(_MESSAGES)
    def play(messages: list[tuple[str, bytes, bool]]) -> None:
        nonlocal seen
        seen += len(messages)
        caplog.clear()
        refused = asyncio.run(_play(messages))
        kinds.update(refused)
        logged = [r for r in caplog.records if "refused" in r.getMessage()]
        assert len(logged) == len(refused), "each kind is logged once"

    with caplog.at_level(logging.WARNING):
        play()
    assert seen >= 10_000
    assert kinds == {"order", "details"}


async def _play(messages: list[tuple[str, bytes, bool]]) -> dict[str, int]:
    """Let a node hear it all; return what it refused, by kind."""
    stage = Stage()
    await stage.begin()
    for topic, payload, retain in messages:
        stage.broker.publish(topic, payload, qos=1, retain=retain)
    await stage.settle()
    assert stage.runner.invocations == []
    link = stage.node._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.faults.counts == {}
    await stage.order("uptime", id="after")
    phases = [one.phase for one in stage.results if one.id == "after"]
    assert phases[-1] is Phase.DONE
    await stage.node.stop()
    return stage.node.rejections.counts
