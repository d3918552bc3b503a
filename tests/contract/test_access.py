"""Who may say what, on a real Mosquitto with the file we write."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Link, Subscription
from broker.client.mqtt_link import SHORT_LIVES, TAKE_OVERS, check_connection, connector
from broker.common.errors import LinkRefusedError
from broker.contract.messages import Status
from broker.contract.topics import NodeLeaf, Scope, Topics
from broker.contract.verbs import ADMIN_VERBS, READING_VERBS, Verb
from broker.mosquitto.credentials import generate_client_id
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from tests.contract.brokers import Recorder, running_mosquitto
from tests.ports import free_port

pytestmark = pytest.mark.mosquitto

TOPICS = Topics("lab")
NODE, OTHER = "pi-00000001", "pi-00000002"
EVERYTHING = Subscription(f"{TOPICS.prefix}/#", qos=1)
DEADLINE_S = 30.0
QUIET_S = 0.3
PASSWORD = "secret"
USERS = (
    BrokerUser(name="master", password=PASSWORD, role=BrokerRole.MASTER),
    BrokerUser(name="dashboard", password=PASSWORD, role=BrokerRole.DASHBOARD),
    BrokerUser(
        name="dashboard-operator", password=PASSWORD, role=BrokerRole.DASHBOARD_OPERATOR
    ),
    BrokerUser(
        name="dashboard-admin", password=PASSWORD, role=BrokerRole.DASHBOARD_ADMIN
    ),
    BrokerUser(name="simulator", password=PASSWORD, role=BrokerRole.SIMULATOR),
    BrokerUser(name="operator", password=PASSWORD, role=BrokerRole.OPERATOR),
    BrokerUser(name="admin", password=PASSWORD, role=BrokerRole.ADMIN),
    BrokerUser(name="viewer", password=PASSWORD, role=BrokerRole.VIEWER),
    BrokerUser(name=NODE, password=PASSWORD, role=BrokerRole.NODE),
    BrokerUser(name=OTHER, password=PASSWORD, role=BrokerRole.NODE),
)


class ConnectedUsers:
    """A broker with all kinds of users, and a master who hears everything."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._links: list[Link] = []
        self.heard = Recorder()
        self.master: Link

    def endpoint(self, user: str, password: str = PASSWORD) -> Endpoint:
        return Endpoint(port=self._port, username=user, password=password)

    async def open(
        self,
        user: str,
        *subscriptions: Subscription,
        recorder: Recorder | None = None,
    ) -> Link:
        link = connector(self.endpoint(user))(
            recorder or Recorder(),
            client_id=user,
            subscriptions=subscriptions,
        )
        self._links.append(link)
        await link.start()
        return link

    async def enter(
        self, user: str, *subscriptions: Subscription
    ) -> tuple[Link, Recorder]:
        recorder = Recorder()
        link = await self.open(user, *subscriptions, recorder=recorder)
        assert await link.wait_connected(DEADLINE_S)
        return link, recorder

    async def close(self) -> None:
        await asyncio.gather(*(link.stop() for link in self._links))

    async def heard_by(self, recorder: Recorder, count: int) -> None:
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
async def users(tmp_path: Path) -> AsyncIterator[ConnectedUsers]:
    async with running_mosquitto(tmp_path, USERS) as port:
        made = ConnectedUsers(port)
        made.master = await made.open("master", EVERYTHING, recorder=made.heard)
        assert await made.master.wait_connected(DEADLINE_S)
        yield made
        await made.close()


async def test_a_node_says_its_own_things_and_nothing_else(
    users: ConnectedUsers,
) -> None:
    node, _ = await users.enter(NODE)
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
    await users.hears(*own)


async def test_a_node_may_clear_an_order_that_was_stored(users: ConnectedUsers) -> None:
    order = TOPICS.node(NODE, NodeLeaf.ORDER)
    node, _ = await users.enter(NODE)
    node.publish(order, b"", qos=1, retain=True)
    await users.hears(order)


async def test_a_node_hears_its_orders_and_the_master_but_no_other_node(
    users: ConnectedUsers,
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
    _, heard = await users.enter(
        NODE, *(Subscription(one, qos=1) for one in (*allowed, *refused))
    )
    hidden = (*refused[:2], TOPICS.node(OTHER, NodeLeaf.RESULT))
    for topic in (*allowed, *hidden):
        users.master.publish(topic, b"x", qos=1)
    await users.heard_by(heard, len(allowed))
    assert [one.topic for one in heard.messages] == allowed


async def test_nobody_takes_the_client_id_of_another(users: ConnectedUsers) -> None:
    victim, seen = await users.enter(NODE)
    for user in (OTHER, "dashboard", "simulator"):
        with pytest.raises(LinkRefusedError):
            await check_connection(users.endpoint(user), NODE)
    assert victim.connected
    assert seen.losses == []


SCOPES = ("rack", "stack/3", "tag/blue", "node/s03n2")


@pytest.mark.parametrize("user", ["operator", "admin"])
async def test_who_operates_hears_all_and_commands_every_scope(
    users: ConnectedUsers, user: str
) -> None:
    link, heard = await users.enter(user, EVERYTHING)
    asked = [TOPICS.command(Scope.parse(scope), "ping") for scope in (*SCOPES, "sim")]
    for topic in asked:
        link.publish(topic, b"", qos=1)
    link.publish(TOPICS.node(NODE, NodeLeaf.ORDER), b"{}", qos=1)
    link.publish(TOPICS.node(NODE, NodeLeaf.STATUS), b"offline", qos=1, retain=True)
    link.publish(TOPICS.rack_state, b"{}", qos=1)
    await users.hears(*asked)
    assert [one.topic for one in heard.messages] == asked


@pytest.mark.parametrize(
    ("user", "may"),
    [
        ("viewer", frozenset()),
        ("dashboard", READING_VERBS),
        ("operator", frozenset(Verb) - ADMIN_VERBS | {"temperature"}),
        ("dashboard-operator", frozenset(Verb) - ADMIN_VERBS | {"temperature"}),
        ("admin", frozenset(Verb) | ADMIN_VERBS | {"temperature"}),
        ("dashboard-admin", frozenset(Verb) | ADMIN_VERBS | {"temperature"}),
    ],
)
async def test_a_role_sends_its_verbs_in_every_scope_and_no_others(
    users: ConnectedUsers, user: str, may: frozenset[str]
) -> None:
    link, _ = await users.enter(user)
    verbs = sorted(frozenset(Verb) | ADMIN_VERBS | {"temperature"})
    topics = {
        TOPICS.command(Scope.parse(scope), verb): verb
        for scope in SCOPES
        for verb in verbs
    }
    for topic in topics:
        link.publish(topic, b"", qos=1)
    await users.hears(*(topic for topic, verb in topics.items() if verb in may))


async def test_who_views_hears_all_and_commands_nothing(users: ConnectedUsers) -> None:
    link, heard = await users.enter("viewer", EVERYTHING)
    link.publish(TOPICS.command(Scope.parse("rack"), "ping"), b"", qos=1)
    node, _ = await users.enter(NODE)
    status = TOPICS.node(NODE, NodeLeaf.STATUS)
    node.publish(status, Status.ONLINE.encode(), qos=1)
    await users.hears(status)
    assert [one.topic for one in heard.messages] == [status]


async def test_the_simulator_answers_faults_and_sees_outlets(
    users: ConnectedUsers,
) -> None:
    fault = TOPICS.command(Scope.parse("sim"), "crash")
    link, heard = await users.enter(
        "simulator",
        Subscription(TOPICS.stack("+"), qos=1),
        Subscription(f"{TOPICS.prefix}/sim/cmd/+", qos=1),
    )
    operator, _ = await users.enter("operator")
    operator.publish(fault, b"s01n1", qos=1)
    reply = TOPICS.reply(Scope.parse("sim"), "crash")
    link.publish(reply, b"{}", qos=1)
    link.publish(TOPICS.stack(1), b"{}", qos=1)
    await users.hears(fault, reply)
    assert [one.topic for one in heard.messages] == [fault]


@pytest.mark.parametrize(
    ("user", "password"), [(NODE, "wrong"), ("stranger", "secret"), ("", "")]
)
async def test_without_the_right_name_and_password_nobody_gets_in(
    users: ConnectedUsers, user: str, password: str
) -> None:
    with pytest.raises(LinkRefusedError):
        await check_connection(users.endpoint(user, password), "somebody")


@pytest.mark.parametrize("user", ["viewer", "operator", "admin"])
async def test_a_persons_password_takes_no_connection_by_guessed_client_ids(
    tmp_path: Path, user: str
) -> None:
    """The ids are those of the services and of a board, without their random part."""
    names = ("master", "dashboard", NODE)
    users = [
        msgspec.structs.replace(one, client_id=generate_client_id(one.name))
        if one.name in names
        else one
        for one in USERS
    ]
    async with running_mosquitto(tmp_path, users) as port:
        endpoint = Endpoint(port=port, password=PASSWORD)
        victims = []
        for one in users:
            if one.name in names:
                own = msgspec.structs.replace(
                    endpoint, username=one.name, client_id=one.client_id
                )
                seen = Recorder()
                link = connector(own)(seen, client_id=one.name, subscriptions=())
                await link.start()
                assert await link.wait_connected(DEADLINE_S)
                victims.append((link, seen))
        thief = msgspec.structs.replace(endpoint, username=user)
        for _ in range(20):
            for name in names:
                await check_connection(thief, name)
        assert all(link.connected for link, _ in victims)
        assert [seen.losses for _, seen in victims] == [[]] * len(names)
        await asyncio.gather(*(link.stop() for link, _ in victims))


async def test_a_board_whose_new_client_id_the_broker_does_not_know_yet_gets_in(
    tmp_path: Path,
) -> None:
    async with running_mosquitto(tmp_path, USERS) as port:
        early = Endpoint(
            port=port, username=NODE, password=PASSWORD, client_id=f"{NODE}-0123456789"
        )
        link = connector(early)(Recorder(), client_id=NODE, subscriptions=())
        await link.start()
        assert await link.wait_connected(DEADLINE_S)
        await link.stop()


async def test_repeated_takeovers_raise_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stand-in that says so; Mosquitto 2.0.11 only closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(200)
        writer.write(b"\x20\x03\0\0\0" + b"\xe0\x02\x8e\0")  # CONNACK, DISCONNECT
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        seen = Recorder()
        link = connector(Endpoint(port=port))(seen, client_id=NODE, subscriptions=())
        await link.start()
        async with asyncio.timeout(DEADLINE_S):
            while "another client took this connection" not in caplog.text:  # noqa: ASYNC110  # a log line, not an event
                await asyncio.sleep(0.01)
        await link.stop()
    assert len(seen.losses) >= TAKE_OVERS
    assert "session taken over" in seen.losses[0]


async def test_takeovers_raise_it_whether_or_not_the_broker_names_them(
    users: ConnectedUsers, caplog: pytest.LogCaptureFixture
) -> None:
    """With a client id that others know, as boards of earlier releases have."""
    victim, seen = await users.enter(NODE)
    for count in range(SHORT_LIVES):
        await check_connection(users.endpoint("viewer"), NODE)
        async with asyncio.timeout(DEADLINE_S):
            while len(seen.losses) <= count or not victim.connected:  # noqa: ASYNC110  # a state, not an event
                await asyncio.sleep(0.01)
    unnamed = "have taken this connection 5 times"  # Mosquitto 2.0.11
    named = "another client took this connection"  # 2.0.21 says who did it
    assert unnamed in caplog.text or named in caplog.text
