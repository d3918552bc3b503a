"""Whatever anybody publishes: counted, nothing stops, no state is lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Reply, decode
from broker.contract.topics import NodeLeaf, Scope, Topics
from tests.random_messages import VERBS, RandomMessages, Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

T = Topics("lab")
SEEDS = 25
MESSAGES = 400


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_ten_thousand_random_messages_stop_nothing(
    make_bench: Callable[..., Bench], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    bench = make_bench()
    await bench.master.start()
    await bench.all_come()
    likely = {
        "session": [board.session for board in bench.boards.values()],
        "boot_id": [board.boot_id for board in bench.boards.values()],
        "id": [f"id-{number}" for number in range(1, 30)],
        "verb": VERBS,
        "confirm": ("rack", "stack/1", "node/pi-11"),
    }
    random_ = RandomMessages(seed, nodes=tuple(bench.boards), likely=likely)
    sent: list[Sent] = []
    for number in range(MESSAGES):
        sent.append(one := random_.next())
        bench.broker.publish(one.topic, one.payload, qos=1, retain=one.retain)
        if number % 20 == 0:
            await bench.calm()
            await bench.pass_time(2)
    await bench.pass_time(30)
    link = bench.master._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.listener_errors.counts == {}
    assert not [one for one in caplog.records if one.exc_info]
    assert sum(one.decodes for one in sent) / len(sent) >= 0.5
    await still_works(bench)
    await bench.master.stop()


async def still_works(bench: Bench) -> None:
    """A new board comes, and a command is answered with its result."""
    bench.boards["pi-22"].come()
    await bench.pass_time(5)
    node = Scope.parse("node/pi-22")
    bench.broker.publish(T.command(node, "ping"), b'{"id":"after"}', qos=1)
    await bench.pass_time(60)
    said = bench.broker.sent(T.reply(node, "ping"))
    replies = [decode(one.payload, Reply) for one in said if b'"after"' in one.payload]
    assert replies[-1].phase.final, replies[-1]
    assert bench.rack.rack == "lab"


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
