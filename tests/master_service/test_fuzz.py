"""Whatever anybody publishes: counted, nothing stops, no state is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.messages import Verdict
from broker.topics import NodeLeaf, Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.master_service.bench import Bench

T = Topics("lab")
_BATCH = 100
_LEVELS = st.sampled_from(
    [
        "node",
        "stack",
        "tag",
        "rack",
        "sim",
        "cmd",
        "reply",
        "pi-11",
        "s01n1",
        "1",
        "0",
        "ping",
        "reboot",
        "power",
        "name",
        "forget",
        "",
        "ä",
        "x" * 40,
        *[leaf.value for leaf in NodeLeaf],
    ]
)
TOPICS = st.lists(_LEVELS, min_size=1, max_size=6).map(
    lambda levels: "/".join([T.prefix, *levels])
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "args", "ttl_s", "session", "seq", "ts", "x"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
PAYLOADS = (
    st.binary(max_size=200)
    | _JSON.map(lambda value: str(value).replace("'", '"').encode())
    | st.sampled_from([b"", b"{", b"[" * 5000, b"NaN", b'{"ts":NaN}', b"\x00" * 20_000])
)
MESSAGES = st.lists(
    st.tuples(TOPICS, PAYLOADS, st.booleans()), min_size=_BATCH, max_size=_BATCH
)


@pytest.mark.timeout(240)
def test_ten_thousand_random_messages_stop_nothing(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make: type[Bench] = request.getfixturevalue("bench_class")
    seen = 0

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(MESSAGES)
    def play(messages: list[tuple[str, bytes, bool]]) -> None:
        nonlocal seen
        seen += len(messages)
        asyncio.run(_play(make(tmp_path / str(seen)), messages))

    logging.disable(logging.CRITICAL)
    try:
        play()
    finally:
        logging.disable(logging.NOTSET)
    assert seen >= 10_000


async def _play(bench: Bench, messages: list[tuple[str, bytes, bool]]) -> None:
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    for topic, payload, retain in messages:
        bench.broker.publish(topic, payload, qos=1, retain=retain)
    await bench.calm()
    bench.master.tick()
    await bench.calm()
    link = bench.master._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.faults.counts == {}
    bench.boards["pi-22"].come()
    await bench.calm()
    nodes = bench.master.rack.registry.nodes
    if "pi-22" in nodes:
        assert nodes["pi-22"].verdict in {Verdict.ONLINE, Verdict.STOPPING}
    await bench.master.stop()


BAD = [
    ("node/pi-11/heartbeat", b"{", "heartbeat"),
    ("node/pi-11/heartbeat", b'{"session":"s","seq":"one"}', "heartbeat"),
    ("node/pi-11/heartbeat", b'{"session":"s","seq":1,"ts":NaN}', "heartbeat"),
    ("node/pi-11/heartbeat", b"\xff\x00\xfe", "heartbeat"),
    ("node/pi-11/heartbeat", b"x" * 1_000_000, "heartbeat"),
    ("node/pi-11/details", b"[]", "details"),
    ("node/pi-11/details", b"", ""),
    ("node/pi-11/status", b"ONLINE", "status"),
    ("node/pi-11/status", b"x" * 1_000_000, "status"),
    ("node/pi-11/result", b'{"id":""}', "result"),
    ("node/PI 11/status", b"online", "topic"),
    ("stack/0/state", b"{}", "topic"),
    ("stack/three/cmd/ping", b"", "topic"),
    ("rack/cmd/", b"", "topic"),
    ("node/pi-11/vitals", b"{}", ""),
    ("node/pi-11/cmd/ping/now", b"{}", ""),
    ("node/pi-11/cmd/ping", b"{", "command"),
]


@pytest.mark.parametrize(("where", "payload", "kind"), BAD)
async def test_each_kind_of_bad_input_is_counted_and_logged_once(
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
    where: str,
    payload: bytes,
    kind: str,
) -> None:
    for _ in range(3):
        bench.broker.publish(f"{T.prefix}/{where}", payload, qos=1)
    await bench.calm()
    bench.master.tick()
    await bench.calm()
    assert bench.rack.rejected == ({kind: 3} if kind else {})
    logged = [r for r in caplog.records if "refused" in r.getMessage()]
    assert len(logged) == (1 if kind else 0)
    assert bench.verdicts["s01n1"] == "online"


async def test_unknown_fields_are_ignored(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench()
    await bench.master.start()
    payload = (
        b'{"session":"s","boot_id":"b","hostname":"h","interval_s":10,'
        b'"agent_version":"9","from_the_future":{"a":[1]}}'
    )
    bench.broker.publish(T.node("pi-11", NodeLeaf.DETAILS), payload, retain=True)
    await bench.calm()
    node = bench.master.rack.registry.nodes["pi-11"]
    assert node.details is not None
    assert node.details.agent_version == "9"
