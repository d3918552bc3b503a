"""Two masters on one rack, which only what they say about themselves can show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.contract.messages import EventKind, MasterDetails, encode
from broker.contract.topics import Topics

if TYPE_CHECKING:
    from tests.master_service.bench import Bench

T = Topics("lab")


async def another(bench: Bench, *sessions: str) -> None:
    """Let another master say who it is, once for each of its connections."""
    for session in sessions:
        details = MasterDetails(
            session=session, hostname="spare", version="1", started=1.0
        )
        bench.broker.publish(T.master_details, encode(details), qos=1, retain=True)
        await bench.calm()


def told(bench: Bench) -> list[str]:
    faults = (one.text for one in bench.events if one.kind is EventKind.FAULT)
    return [text for text in faults if "another master" in text]


async def test_another_master_is_named_once(bench: Bench) -> None:
    await another(bench, "a", "b", "c")
    (text,) = told(bench)
    assert text.startswith("another master keeps this rack too, on spare; stop one: ")
    assert "systemctl stop pirack-master, or end its `pirack up`" in text


async def test_words_of_an_earlier_master_brought_back_by_a_broker_are_no_proof(
    bench: Bench,
) -> None:
    await another(bench, "a", "a")
    assert told(bench) == []


async def test_a_restart_of_the_master_is_no_second_one(bench: Bench) -> None:
    for _ in range(3):
        await bench.restart()
    assert told(bench) == []
