from pathlib import Path

import pytest
from nicegui import ui
from nicegui.testing import User as Visitor

from broker.client.fake import FakeBroker
from dashboard.live.service import Dashboard
from dashboard.pages.frame import Frame
from dashboard.pages.routes import OverviewPage
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import PageRole, Users, make_user


@pytest.fixture
def dashboard(tmp_path: Path) -> Dashboard:
    users = Users(tmp_path / "users.json")
    users.put(make_user("ada", PageRole.ADMIN, "x"))
    connect = FakeBroker().connect
    return Dashboard(
        DashboardSettings(), "lab", connect, users, publish_hint="mosquitto_pub"
    )


def page(dashboard: Dashboard, *, alive: bool = True) -> None:
    user = make_user("ada", PageRole.ADMIN, "x")

    @ui.page("/framed")
    def build() -> None:
        Frame(dashboard, user, lambda: alive).show("overview")
        OverviewPage()


async def test_a_closed_tab_leaves_nothing_in_the_hub(
    user: Visitor, dashboard: Dashboard
) -> None:
    page(dashboard)
    for _ in range(3):
        await user.open("/framed")
        assert len(dashboard.hub.views) == 1
        assert user.client is not None
        user.client.delete()
        assert dashboard.hub.views == set()


async def test_a_page_is_a_handful_of_elements(
    user: Visitor, dashboard: Dashboard
) -> None:
    page(dashboard)
    await user.open("/framed")

    assert user.client is not None
    assert len(user.client.elements) < 30


async def test_a_tick_is_one_message(user: Visitor, dashboard: Dashboard) -> None:
    page(dashboard)
    await user.open("/framed")
    (view,) = dashboard.hub.views
    sent: list[object] = []
    view.port.send = lambda *words: sent.append(words)  # type: ignore[method-assign]  # watch the door

    for _ in range(3):
        dashboard.hub.tick()

    assert len(sent) == 1


async def test_a_revoked_session_is_shown_nothing_more(
    user: Visitor, dashboard: Dashboard
) -> None:
    page(dashboard, alive=False)
    await user.open("/framed")

    dashboard.hub.tick()

    assert dashboard.hub.views == set()


async def test_a_hidden_tab_is_turned_out_when_it_is_looked_at_again(
    user: Visitor, dashboard: Dashboard
) -> None:
    page(dashboard, alive=False)
    await user.open("/framed")
    (view,) = dashboard.hub.views
    view.paused = True
    dashboard.hub.tick()
    assert dashboard.hub.views == {view}  # nothing was sent, so nobody was asked

    user.find(Frame).trigger("say", {"kind": "resume"})

    assert dashboard.hub.views == set()


async def test_a_bad_message_is_counted(user: Visitor, dashboard: Dashboard) -> None:
    page(dashboard)
    await user.open("/framed")

    user.find(Frame).trigger("say", {"kind": "rule the world"})
    user.find(Frame).trigger("say", {"kind": "search", "text": "x" * 9999})

    assert dashboard.model.rejections.counts == {"client message": 1}


async def test_a_wave_that_is_no_number_of_boards_is_counted(
    user: Visitor, dashboard: Dashboard
) -> None:
    page(dashboard)
    await user.open("/framed")

    for wave in (-1, 10_001, "many"):
        message = {"kind": "ask", "scope": "rack", "verb": "reboot", "wave": wave}
        user.find(Frame).trigger("say", message)

    assert dashboard.model.rejections.counts == {"client message": 3}
