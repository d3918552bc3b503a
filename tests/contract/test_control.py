"""Who may connect, changed on a real Mosquitto while others are connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import BreakableConnect, Link
from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import ControlError, LinkError, LinkRefusedError
from broker.contract.topics import NodeLeaf, Topics
from broker.mosquitto import dynsec
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from broker.mosquitto.dynsec_control import DynsecControl
from tests.contract.brokers import Recorder, running_mosquitto
from tests.ports import free_port

pytestmark = pytest.mark.mosquitto

TOPICS = Topics("lab")
NODE = BrokerUser(name="pi-00000001", password="first", role=BrokerRole.NODE)
NEIGHBOUR = BrokerUser(name="pi-00000002", password="second", role=BrokerRole.NODE)
ADMIN = BrokerUser(name="broker-admin", password="third", role=BrokerRole.BROKER_ADMIN)
OPERATOR = BrokerUser(name="operator", password="fourth", role=BrokerRole.OPERATOR)
DEADLINE_S = 30.0
REFUSED_S = 5.0
"""How long an answer that must not come is waited for."""


class LiveBroker:
    """A broker with a neighbour who must not be disturbed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._links: list[Link] = []
        self.control = DynsecControl(self.as_whom(ADMIN), TOPICS)

    def endpoint(self, user: BrokerUser) -> Endpoint:
        return Endpoint(port=self._port, username=user.name, password=user.password)

    def as_whom(self, user: BrokerUser) -> BreakableConnect:
        return connector(self.endpoint(user))

    async def enter(self, user: BrokerUser) -> tuple[Link, Recorder]:
        heard = Recorder()
        link = self.as_whom(user)(heard, client_id=user.name, subscriptions=())
        self._links.append(link)
        await link.start()
        return link, heard

    async def lets_in(self, user: BrokerUser) -> bool:
        try:
            await check_connection(self.endpoint(user), user.name)
        except LinkRefusedError:
            return False
        return True

    async def aclose(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveBroker]:
    async with (
        running_mosquitto(tmp_path, [NEIGHBOUR, ADMIN, OPERATOR]) as port,
        aclosing(LiveBroker(port)) as made,
    ):
        yield made


async def test_nodes_come_and_go_and_the_neighbour_notices_nothing(
    live: LiveBroker,
) -> None:
    neighbour, heard = await live.enter(NEIGHBOUR)
    assert await neighbour.wait_connected(DEADLINE_S)
    session = neighbour.session
    assert not await live.lets_in(NODE)
    assert await live.control.add_user(NODE, renew=False)
    assert NODE.name in await live.control.clients()
    assert await live.lets_in(NODE)
    assert await live.control.remove_node(NODE.name)
    assert not await live.lets_in(NODE)
    assert neighbour.session == session
    assert heard.losses == []


async def test_an_admitted_node_may_say_its_own_things(live: LiveBroker) -> None:
    await live.control.add_user(NODE, renew=False)
    node, heard = await live.enter(NODE)
    assert await node.wait_connected(DEADLINE_S)
    node.publish(TOPICS.node(NODE.name, NodeLeaf.HEARTBEAT), b"{}", qos=1)
    assert await live.lets_in(OPERATOR)  # the broker went on
    assert heard.losses == []


async def test_admitting_again_changes_nothing_but_with_renew_the_password(
    live: LiveBroker,
) -> None:
    await live.control.add_user(NODE, renew=False)
    other = BrokerUser(name=NODE.name, password="other", role=BrokerRole.NODE)
    assert not await live.control.add_user(other, renew=False)
    assert await live.lets_in(NODE)
    assert await live.control.add_user(other, renew=True)
    assert not await live.lets_in(NODE)
    assert await live.lets_in(other)


async def test_a_dismissed_node_loses_its_connection_at_once(live: LiveBroker) -> None:
    await live.control.add_user(NODE, renew=False)
    node, heard = await live.enter(NODE)
    assert await node.wait_connected(DEADLINE_S)
    await live.control.remove_node(NODE.name)
    async with asyncio.timeout(DEADLINE_S):
        while node.connected:  # noqa: ASYNC110  # a state, not an event
            await asyncio.sleep(0.01)
    assert len(heard.losses) == 1
    assert not await live.control.remove_node(NODE.name)


async def test_an_operator_may_not_decide_who_connects(
    live: LiveBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.mosquitto.dynsec_control.TIMEOUT_S", REFUSED_S)
    control = DynsecControl(live.as_whom(OPERATOR), TOPICS)
    with pytest.raises(ControlError, match="may this user use it"):
        await control.add_user(NODE, renew=False)
    assert NODE.name not in await live.control.clients()


async def test_no_broker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.mosquitto.dynsec_control.TIMEOUT_S", 0.1)
    nobody = connector(
        Endpoint(port=free_port(), username="broker-admin", password="x")
    )
    with pytest.raises(LinkError, match="cannot be reached"):
        await DynsecControl(nobody, TOPICS).clients()


FORMER_ADMIN = BrokerUser(name="admin", password="fifth", role=BrokerRole.ADMIN)
OWN_RIGHT = {
    "acltype": "publishClientSend",
    "topic": "stat/plug-1/POWER",
    "priority": 5,
    "allow": True,
}


def former(users: list[BrokerUser]) -> dict[str, Any]:
    """Return the plugin's file as commit bb7333b wrote it, with a right of a person."""
    document = dynsec.document(users, TOPICS)
    every = [f"{TOPICS.prefix}/#"]
    sends = [*TOPICS.command_filters(), f"{TOPICS.prefix}/sim/cmd/+"]
    control = [f"{dynsec.CONTROL}/#"]
    rights = {
        "admin": dynsec.Rights(tuple(control), (), tuple(control), (), tuple(control)),
        "operator": dynsec.Rights(tuple(sends), (), tuple(every)),
        "dashboard": dynsec.Rights(tuple(sends), (), tuple(every)),
    }
    for role in document["roles"]:
        if role["rolename"] in rights:
            role["acls"] = [*rights[role["rolename"]].acls()]
    document["roles"][0]["acls"].append(OWN_RIGHT)
    return document


async def test_a_running_broker_of_an_earlier_release_gets_new_rights_and_client_ids(
    tmp_path: Path,
) -> None:
    page = BrokerUser(name="dashboard", password="sixth", role=BrokerRole.DASHBOARD)
    before = former([OPERATOR, FORMER_ADMIN, page, NEIGHBOUR])
    (tmp_path / dynsec.FILE_NAME).write_bytes(msgspec.json.encode(before))
    async with (
        running_mosquitto(tmp_path) as port,
        aclosing(LiveBroker(port)) as live,
    ):
        neighbour, heard = await live.enter(NEIGHBOUR)
        assert await neighbour.wait_connected(DEADLINE_S)
        old = DynsecControl(live.as_whom(FORMER_ADMIN), TOPICS)
        assert set(await old.outdated()) >= {"operator", "dashboard", "admin"}
        await old.add_user(ADMIN, renew=False)
        bound = msgspec.structs.replace(page, client_id="dashboard-0123456789")
        users = [OPERATOR, FORMER_ADMIN, bound, NEIGHBOUR]
        users += [
            BrokerUser(name=name, password="x", role=BrokerRole(name))
            for name in ("viewer", "master", "dashboard-operator", "dashboard-admin")
        ]
        changed = await live.control.renew(users)
        assert {"operator", "dashboard", "admin", "viewer"} <= set(changed)
        assert await live.control.outdated() == ()
        assert await live.control.renew(users) == ()
        assert not await live.lets_in(page)
        named = msgspec.structs.replace(live.endpoint(page), client_id=bound.client_id)
        await check_connection(named, page.name)
        kept = msgspec.json.decode((tmp_path / dynsec.FILE_NAME).read_bytes())
        roles = {one["rolename"]: one["acls"] for one in kept["roles"]}
        assert OWN_RIGHT in roles["operator"]
        control = [one for one in roles["admin"] if one["topic"].startswith("$CONTROL")]
        assert len(control) == 3  # what the administrator of that rack could do
        assert heard.losses == []
