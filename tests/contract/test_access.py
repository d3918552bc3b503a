"""Who may say what, on a real Mosquitto with the file we write."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from broker import dynsec, mosquitto
from broker.client import connector
from broker.dynsec import Role, User
from broker.endpoint import Endpoint
from broker.errors import RefusedError
from broker.link import Link, Subscription
from broker.messages import Status
from broker.mosquitto_child import MosquittoChild
from broker.mosquitto_conf import Plan
from broker.reach import reach
from broker.topics import NodeLeaf, Scope, Topics
from tests.ports import free_port

pytestmark = pytest.mark.mosquitto

TOPICS = Topics("lab")
NODE, OTHER = "pi-00000001", "pi-00000002"
EVERYTHING = Subscription(f"{TOPICS.prefix}/#", qos=1)
DEADLINE_S = 30.0
QUIET_S = 0.3
PASSWORD = "secret"
USERS = (
    User(name="master", password=PASSWORD, role=Role.MASTER),
    User(name="dashboard", password=PASSWORD, role=Role.DASHBOARD),
    User(name="simulator", password=PASSWORD, role=Role.SIMULATOR),
    User(name="operator", password=PASSWORD, role=Role.OPERATOR),
    User(name="viewer", password=PASSWORD, role=Role.VIEWER),
    User(name=NODE, password=PASSWORD, role=Role.NODE),
    User(name=OTHER, password=PASSWORD, role=Role.NODE),
)

Recorder = Callable[[], Any]


class House:
    """A broker with all kinds of users, and a master who hears everything."""

    def __init__(self, port: int, new_recorder: Recorder) -> None:
        self._port = port
        self._new_recorder = new_recorder
        self._links: list[Link] = []
        self.heard = new_recorder()
        self.master: Link

    def endpoint(self, user: str, password: str = PASSWORD) -> Endpoint:
        return Endpoint(port=self._port, username=user, password=password)

    async def open(
        self,
        user: str,
        *subscriptions: Subscription,
        recorder: Any = None,  # noqa: ANN401  # the class lives in conftest
    ) -> Link:
        link = connector(self.endpoint(user))(
            recorder or self._new_recorder(),
            client_id=user,
            subscriptions=subscriptions,
        )
        self._links.append(link)
        await link.start()
        return link

    async def enter(self, user: str, *subscriptions: Subscription) -> tuple[Link, Any]:
        recorder = self._new_recorder()
        link = await self.open(user, *subscriptions, recorder=recorder)
        assert await link.wait_connected(DEADLINE_S)
        return link, recorder

    async def close(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))

    async def heard_by(self, recorder: Any, count: int) -> None:  # noqa: ANN401  # a Recorder, whose class cannot be imported
        """Wait until so many messages were heard, and a little for what must not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                while len(recorder.messages) < count:  # noqa: ASYNC110  # a count, not an event
                    await asyncio.sleep(0.01)
        await asyncio.sleep(QUIET_S)

    async def hears(self, *topics: str) -> None:
        """Check that the master hears exactly these, in any order."""
        await self.heard_by(self.heard, len(topics))
        assert sorted(one.topic for one in self.heard.messages) == sorted(topics)


@pytest.fixture
async def house(tmp_path: Path, recorder: Recorder) -> AsyncIterator[House]:
    found = mosquitto.find()
    dynsec.write(tmp_path, USERS, TOPICS)
    plan = Plan(directory=tmp_path, plugin=found.plugin, port=free_port())
    child = MosquittoChild(found, plan)
    await child.start()
    made = House(plan.port, recorder)
    made.master = await made.open("master", EVERYTHING, recorder=made.heard)
    assert await made.master.wait_connected(DEADLINE_S)
    yield made
    await made.close()
    await child.stop()


async def test_a_node_says_its_own_things_and_nothing_else(house: House) -> None:
    node, _ = await house.enter(NODE)
    own = [
        TOPICS.node(NODE, leaf)
        for leaf in NodeLeaf
        if leaf not in {NodeLeaf.STATE, NodeLeaf.ORDER}
    ]
    foreign = [TOPICS.node(OTHER, leaf) for leaf in NodeLeaf]
    masters = [
        TOPICS.node(NODE, NodeLeaf.STATE),
        TOPICS.stack(1),
        TOPICS.rack_state,
        TOPICS.master_status,
        TOPICS.event,
        TOPICS.command(Scope.parse("rack"), "reboot"),
        f"{TOPICS.prefix}/inbox/operator",
        "homeassistant/device/x/config",
    ]
    for topic in (*own, *foreign, *masters):
        node.publish(topic, b"x", qos=1)
    await house.hears(*own)


async def test_a_node_may_clear_an_order_that_was_stored(house: House) -> None:
    order = TOPICS.node(NODE, NodeLeaf.ORDER)
    node, _ = await house.enter(NODE)
    node.publish(order, b"", qos=1, retain=True)
    await house.hears(order)


async def test_a_node_hears_its_orders_and_the_master_but_no_other_node(
    house: House,
) -> None:
    allowed = [
        TOPICS.node(NODE, NodeLeaf.ORDER),
        TOPICS.node(NODE, NodeLeaf.STATUS),
        TOPICS.master_status,
        TOPICS.master_details,
    ]
    refused = [
        TOPICS.node(OTHER, NodeLeaf.ORDER),
        TOPICS.rack_state,
        f"{TOPICS.prefix}/node/+/result",
    ]
    _, heard = await house.enter(
        NODE, *(Subscription(one, qos=1) for one in (*allowed, *refused))
    )
    hidden = (*refused[:2], TOPICS.node(OTHER, NodeLeaf.RESULT))
    for topic in (*allowed, *hidden):
        house.master.publish(topic, b"x", qos=1)
    await house.heard_by(heard, len(allowed))
    assert [one.topic for one in heard.messages] == allowed


async def test_nobody_takes_the_client_id_of_another(house: House) -> None:
    victim, seen = await house.enter(NODE)
    for user in (OTHER, "dashboard", "simulator"):
        with pytest.raises(RefusedError):
            await reach(house.endpoint(user), NODE)
    assert victim.connected
    assert seen.losses == []


@pytest.mark.parametrize("user", ["operator", "dashboard"])
async def test_who_operates_hears_all_and_commands_every_scope(
    house: House, user: str
) -> None:
    link, heard = await house.enter(user, EVERYTHING)
    asked = [
        TOPICS.command(Scope.parse(scope), "ping")
        for scope in ("rack", "stack/3", "tag/blue", "node/s03n2", "sim")
    ]
    for topic in asked:
        link.publish(topic, b"", qos=1)
    link.publish(TOPICS.node(NODE, NodeLeaf.ORDER), b"{}", qos=1)
    link.publish(TOPICS.node(NODE, NodeLeaf.STATUS), b"offline", qos=1, retain=True)
    link.publish(TOPICS.rack_state, b"{}", qos=1)
    await house.hears(*asked)
    assert [one.topic for one in heard.messages] == asked


async def test_who_views_hears_all_and_commands_nothing(house: House) -> None:
    link, heard = await house.enter("viewer", EVERYTHING)
    link.publish(TOPICS.command(Scope.parse("rack"), "ping"), b"", qos=1)
    node, _ = await house.enter(NODE)
    status = TOPICS.node(NODE, NodeLeaf.STATUS)
    node.publish(status, Status.ONLINE.encode(), qos=1)
    await house.hears(status)
    assert [one.topic for one in heard.messages] == [status]


async def test_the_simulator_answers_faults_and_sees_outlets(house: House) -> None:
    fault = TOPICS.command(Scope.parse("sim"), "crash")
    link, heard = await house.enter(
        "simulator",
        Subscription(TOPICS.stack("+"), qos=1),
        Subscription(f"{TOPICS.prefix}/sim/cmd/+", qos=1),
    )
    operator, _ = await house.enter("operator")
    operator.publish(fault, b"s01n1", qos=1)
    reply = TOPICS.reply(Scope.parse("sim"), "crash")
    link.publish(reply, b"{}", qos=1)
    link.publish(TOPICS.stack(1), b"{}", qos=1)
    await house.hears(fault, reply)
    assert [one.topic for one in heard.messages] == [fault]


@pytest.mark.parametrize(
    ("user", "password"), [(NODE, "wrong"), ("stranger", "secret"), ("", "")]
)
async def test_without_the_right_name_and_password_nobody_gets_in(
    house: House, user: str, password: str
) -> None:
    with pytest.raises(RefusedError):
        await reach(house.endpoint(user, password), "somebody")
