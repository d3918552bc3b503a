"""A node that does more than the agent."""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from broker.contract.messages import (
    MasterDetails,
    encode,
)
from node_agent.node import Node
from tests.node_agent.harness import TOPICS, NodeHarness


class Greenhouse(Node):
    """A node that does more."""

    numbers: Any = MappingProxyType({"soil_percent": 40.0})
    masters: tuple[MasterDetails, ...] = ()

    async def extra(self) -> Mapping[str, float]:
        if isinstance(self.numbers, BaseException):
            raise self.numbers
        return self.numbers  # type: ignore[no-any-return]  # anything at all

    def on_master(self, details: MasterDetails) -> None:
        self.masters = (*self.masters, details)
        if details.hostname == "unlucky":
            raise ValueError(details.hostname)


@pytest.fixture
async def greenhouse() -> AsyncIterator[NodeHarness]:
    node = NodeHarness(Greenhouse)
    await node.begin()
    yield node
    await node.node.stop()


def grown(node: NodeHarness) -> Greenhouse:
    assert isinstance(node.node, Greenhouse)
    return node.node


async def test_a_node_of_ones_own_adds_its_numbers_to_every_beat(
    greenhouse: NodeHarness,
) -> None:
    assert greenhouse.beats[0].extra == {"soil_percent": 40.0}
    grown(greenhouse).numbers = {"soil_percent": 41.0, "bad": math.nan}
    await greenhouse.clock.advance(10)
    assert greenhouse.beats[-1].extra == {"soil_percent": 41.0}
    assert greenhouse.node.rejections.counts == {"extra": 1}


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (None, "None is not a mapping"),
        ([("a", 1.0)], "is not a mapping"),
        ("a=1", "is not a mapping"),
        ({1: 2.0}, "name 1 must have"),
        ({None: 2.0}, "name None must have"),
        ({"": 2.0}, "name '' must have"),
        ({"a": "1"}, "'a' is '1'"),
        ({"a": 10**5000}, "'a' is a value of type int"),
        ({"a": Unprintable()}, "'a' is a value of type Unprintable"),
        (RuntimeError("oops"), "oops"),
        (RuntimeError(Unprintable()), "a value of type RuntimeError"),
        (asyncio.CancelledError(), "cancelled from within"),
        (TimeoutError(), "took longer"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_whatever_it_returns_costs_its_own_numbers_only(
    greenhouse: NodeHarness, numbers: object, said: str
) -> None:
    before = len(greenhouse.beats)
    grown(greenhouse).numbers = numbers
    await greenhouse.clock.advance(70)
    assert len(greenhouse.beats) == before + 7
    assert greenhouse.beats[-1].extra == {}
    assert greenhouse.node.rejections.counts["extra"] == 7
    assert said in greenhouse.details[-1].unreadable["extra"]
    grown(greenhouse).numbers = {"soil_percent": 42}
    await greenhouse.clock.advance(70)
    assert greenhouse.beats[-1].extra == {"soil_percent": 42.0}
    assert greenhouse.details[-1].unreadable == {}


def master(hostname: str) -> bytes:
    return encode(
        MasterDetails(session="m", hostname=hostname, version="1", started=1.0)
    )


async def test_it_receives_the_masters_details(greenhouse: NodeHarness) -> None:
    for hostname in ("rack", "rack", "unlucky", "rack2"):
        payload = master(hostname)
        greenhouse.broker.publish(TOPICS.master_details, payload, qos=1, retain=True)
        await greenhouse.settle()
    node = grown(greenhouse)
    assert [one.hostname for one in node.masters] == ["rack", "unlucky", "rack2"]
    assert node.master is not None
    assert node.master.hostname == "rack2"
    assert node.rejections.counts == {"on_master": 1}


async def test_details_of_a_master_from_before_are_received_too() -> None:
    node = NodeHarness(Greenhouse)
    node.broker.publish(TOPICS.master_details, master("rack"), qos=1, retain=True)
    await node.begin()
    assert [one.hostname for one in grown(node).masters] == ["rack"]
    await node.node.stop()


async def test_masters_details_that_are_none_are_counted(
    greenhouse: NodeHarness,
) -> None:
    greenhouse.broker.publish(TOPICS.master_details, b"[]", qos=1)
    greenhouse.broker.publish(TOPICS.master_details, b"", qos=1)
    await greenhouse.settle()
    assert greenhouse.node.rejections.counts == {"details": 1}
    assert greenhouse.node.master is None
