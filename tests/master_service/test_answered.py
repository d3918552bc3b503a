"""Every command is answered, with the id of who asked, whatever is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.contract.messages import Phase, Reply, decode

if TYPE_CHECKING:
    from tests.master_service.bench import Bench

P = "pirack/v1/lab"


async def sent(
    bench: Bench, where: str, payload: bytes, *, retain: bool = False
) -> None:
    bench.broker.publish(f"{P}/{where}", payload, qos=1, retain=retain)
    await bench.calm()


def answers(bench: Bench, where: str) -> list[Reply]:
    topic = f"{P}/{where}".replace("/cmd/", "/reply/")
    return [decode(message.payload, Reply) for message in bench.broker.sent(topic)]


BAD_TOPICS = [
    "node/S02N1/cmd/ping",
    "stack/02/cmd/ping",
    "stack/0/cmd/power",
    "tag/two words/cmd/ping",
    "node/s01n1/cmd/PING",
    "rack/cmd/ping!",
    "node/ä/cmd/ping",
]


@pytest.mark.parametrize("where", BAD_TOPICS)
@pytest.mark.parametrize("payload", [b"", b"x", b'{"id": "mine"}'])
async def test_a_topic_that_is_none_of_the_contract_is_answered_beside_it(
    bench: Bench, where: str, payload: bytes
) -> None:
    await sent(bench, where, payload)
    (reply,) = answers(bench, where)
    assert (reply.phase, reply.ok) == (Phase.REFUSED, False)
    assert "must" in reply.error
    assert reply.id == ("mine" if b"mine" in payload else "")


async def test_a_retained_one_is_cleared_as_well_and_its_clearing_not_answered(
    bench: Bench,
) -> None:
    await sent(bench, "stack/02/cmd/power", b'{"id": "mine"}', retain=True)
    assert f"{P}/stack/02/cmd/power" not in bench.broker.retained
    (reply,) = answers(bench, "stack/02/cmd/power")
    assert reply.id == "mine"
    assert "never obeyed" in reply.error


@pytest.mark.parametrize(
    ("payload", "retain"),
    [
        (b'{"id": "mine", "ttl_s": "soon"}', False),
        (b'{"id": "mine", "args": [7]}', False),
        (b'{"id": "mine"}', True),
        (b'{"id": "mine", "wave": -1}', True),
    ],
)
async def test_a_refusal_has_the_id_of_who_asked(
    bench: Bench, payload: bytes, *, retain: bool
) -> None:
    await sent(bench, "stack/1/cmd/reboot", payload, retain=retain)
    (reply,) = answers(bench, "stack/1/cmd/reboot")
    assert (reply.id, reply.phase) == ("mine", Phase.REFUSED)


@pytest.mark.parametrize("said", ['"' + "x" * 65 + '"', "7", '"a\\u0000"', "null"])
async def test_an_id_that_cannot_be_repeated_is_left_out(
    bench: Bench, said: str
) -> None:
    await sent(bench, "stack/1/cmd/ping", f'{{"id": {said}}}'.encode())
    assert answers(bench, "stack/1/cmd/ping")[0].id == ""


async def test_a_topic_too_long_to_be_repeated_is_only_counted(bench: Bench) -> None:
    await sent(bench, f"node/{'x' * 300}/cmd/ping", b"")
    assert bench.master.rejections.counts == {"topic": 1}
