"""Whatever anybody publishes: the page goes on, and sends what a browser can read."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker
from broker.contract.messages import encode
from broker.contract.topics import NodeLeaf, Topics
from dashboard.live.command_sender import PendingCommand
from dashboard.live.hub import View
from dashboard.live.service import Dashboard
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import PageRole, PageUser, Users
from tests.dashboard.conftest import FakePort, details, heartbeat, node_state
from tests.random_messages import RandomMessages, Sent

SEEDS = 25
MESSAGES = 400
T = Topics("lab")
LIKELY = {
    "session": ("s1",),
    "id": ("pi-1", "pi-2", "ticket-1", "ticket-2"),
    "verb": ("reboot", "ping"),
    "parts": (1, 2),
}


@pytest.fixture
async def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
async def dashboard(broker: FakeBroker, tmp_path: Path) -> AsyncIterator[Dashboard]:
    users = Users(tmp_path / "users.json")
    made = Dashboard(DashboardSettings(), "lab", broker.connect, users, publish_hint="")
    await made.start()
    await broker.settle()
    yield made
    await made.stop()


def opened(dashboard: Dashboard) -> FakePort:
    """Open a tab that looks at a node and at the install run, with commands sent."""
    user = PageUser(name="ada", role=PageRole.ADMIN, salt="", digest="", stamp="x")
    view = View(port := FakePort(), user)
    view.follow_install(on=True)
    view.open_node("pi-1")
    view.search("pi-2 | gpu")
    dashboard.join(view)
    for number in (1, 2):
        ticket = PendingCommand(f"ticket-{number}", view, 0.0)
        dashboard.commands._open[ticket.id] = ticket  # noqa: SLF001  # as if it was sent
    return port


def refuse(said: str) -> object:
    text = f"{said} is not JSON: no browser reads it"
    raise ValueError(text)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_ten_thousand_random_messages_stop_no_page(
    broker: FakeBroker,
    dashboard: Dashboard,
    seed: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    port = opened(dashboard)
    random_ = RandomMessages(seed, nodes=("pi-1", "pi-2"), likely=LIKELY)
    sent: list[Sent] = []
    for number in range(MESSAGES):
        sent.append(one := random_.next())
        broker.publish(one.topic, one.payload, qos=1, retain=one.retain)
        if number % 10 == 0:
            await broker.settle()
            dashboard.hub.tick()
            dashboard.commands.tick()
            dashboard.history.tick()
    assert sum(one.decodes for one in sent) / len(sent) >= 0.5
    for _, shared, private in port.sent:
        for text in (shared, private):
            json.loads(text.encode(), parse_constant=refuse)
    assert not caplog.records
    link = dashboard._link  # noqa: SLF001  # its fault counter is what must stay empty
    assert link.listener_errors.counts == {}
    await still_shows(broker, dashboard)


async def still_shows(broker: FakeBroker, dashboard: Dashboard) -> None:
    """A new board is shown to a new tab."""
    said = {
        NodeLeaf.STATE: encode(node_state(id="pi-9", name="after")),
        NodeLeaf.STATUS: b"online",
        NodeLeaf.DETAILS: encode(details()),
        NodeLeaf.HEARTBEAT: encode(heartbeat()),
    }
    for leaf, payload in said.items():
        broker.publish(T.node("pi-9", leaf), payload, qos=1)
    await broker.settle()
    port = opened(dashboard)
    dashboard.hub.tick()
    assert "after" in port.sent[-1][1]
