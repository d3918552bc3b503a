"""Who may connect, changed on a real Mosquitto while others are connected."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from broker import dynsec, mosquitto
from broker.client import connector
from broker.dynsec import Role, User
from broker.dynsec_control import Control
from broker.endpoint import Endpoint
from broker.errors import ControlError, LinkError, RefusedError
from broker.link import BreakableConnect, Link
from broker.mosquitto_child import MosquittoChild
from broker.mosquitto_conf import Plan
from broker.reach import reach
from broker.topics import NodeLeaf, Topics
from tests.ports import free_port

pytestmark = pytest.mark.mosquitto

TOPICS = Topics("lab")
NODE = User(name="pi-00000001", password="first", role=Role.NODE)
NEIGHBOUR = User(name="pi-00000002", password="second", role=Role.NODE)
ADMIN = User(name="admin", password="third", role=Role.ADMIN)
OPERATOR = User(name="operator", password="fourth", role=Role.OPERATOR)
DEADLINE_S = 30.0
REFUSED_S = 5.0
"""How long an answer that must not come is waited for."""

Recorder = Callable[[], Any]


class House:
    """A broker with a neighbour who must not be disturbed."""

    def __init__(self, port: int, recorder: Recorder) -> None:
        self._port = port
        self._recorder = recorder
        self._links: list[Link] = []
        self.control = Control(self.as_whom(ADMIN), TOPICS)

    def endpoint(self, user: User) -> Endpoint:
        return Endpoint(port=self._port, username=user.name, password=user.password)

    def as_whom(self, user: User) -> BreakableConnect:
        return connector(self.endpoint(user))

    async def enter(self, user: User) -> tuple[Link, Any]:
        heard = self._recorder()
        link = self.as_whom(user)(heard, client_id=user.name, subscriptions=())
        self._links.append(link)
        await link.start()
        return link, heard

    async def lets_in(self, user: User) -> bool:
        try:
            await reach(self.endpoint(user), user.name)
        except RefusedError:
            return False
        return True

    async def close(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))


@pytest.fixture
async def house(tmp_path: Path, recorder: Recorder) -> AsyncIterator[House]:
    found = mosquitto.find()
    dynsec.write(tmp_path, [NEIGHBOUR, ADMIN, OPERATOR], TOPICS)
    plan = Plan(directory=tmp_path, plugin=found.plugin, port=free_port())
    child = MosquittoChild(found, plan)
    await child.start()
    made = House(plan.port, recorder)
    yield made
    await made.close()
    await child.stop()


async def test_nodes_come_and_go_and_the_neighbour_notices_nothing(
    house: House,
) -> None:
    neighbour, heard = await house.enter(NEIGHBOUR)
    assert await neighbour.wait_connected(DEADLINE_S)
    session = neighbour.session
    assert not await house.lets_in(NODE)
    assert await house.control.admit(NODE, renew=False)
    assert NODE.name in await house.control.clients()
    assert await house.lets_in(NODE)
    assert await house.control.dismiss(NODE.name)
    assert not await house.lets_in(NODE)
    assert neighbour.session == session
    assert heard.losses == []


async def test_an_admitted_node_may_say_its_own_things(house: House) -> None:
    await house.control.admit(NODE, renew=False)
    node, heard = await house.enter(NODE)
    assert await node.wait_connected(DEADLINE_S)
    node.publish(TOPICS.node(NODE.name, NodeLeaf.HEARTBEAT), b"{}", qos=1)
    assert await house.lets_in(OPERATOR)  # the broker went on
    assert heard.losses == []


async def test_admitting_again_changes_nothing_but_with_renew_the_password(
    house: House,
) -> None:
    await house.control.admit(NODE, renew=False)
    other = User(name=NODE.name, password="other", role=Role.NODE)
    assert not await house.control.admit(other, renew=False)
    assert await house.lets_in(NODE)
    assert await house.control.admit(other, renew=True)
    assert not await house.lets_in(NODE)
    assert await house.lets_in(other)


async def test_a_dismissed_node_loses_its_connection_at_once(house: House) -> None:
    await house.control.admit(NODE, renew=False)
    node, heard = await house.enter(NODE)
    assert await node.wait_connected(DEADLINE_S)
    await house.control.dismiss(NODE.name)
    async with asyncio.timeout(DEADLINE_S):
        while node.connected:  # noqa: ASYNC110  # a state, not an event
            await asyncio.sleep(0.01)
    assert len(heard.losses) == 1
    assert not await house.control.dismiss(NODE.name)


async def test_an_operator_may_not_decide_who_connects(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.dynsec_control.TIMEOUT_S", REFUSED_S)
    control = Control(house.as_whom(OPERATOR), TOPICS)
    with pytest.raises(ControlError, match="may this user use it"):
        await control.admit(NODE, renew=False)
    assert NODE.name not in await house.control.clients()


async def test_no_broker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.dynsec_control.TIMEOUT_S", 0.1)
    nobody = connector(Endpoint(port=free_port(), username="admin", password="x"))
    with pytest.raises(LinkError, match="cannot be reached"):
        await Control(nobody, TOPICS).clients()
