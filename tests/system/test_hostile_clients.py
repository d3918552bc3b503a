"""What others can do to the page over the network; no browser is needed."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
import websockets
from websockets.exceptions import WebSocketException

from tests.browser.stage import PASSWORD, Stage, wait_until

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(300)]

SOCKETS = 300


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """A page of its own, without a master."""
    stage = Stage(tmp_path)
    try:
        stage.start_broker()
        stage.start_dashboard()
        yield stage
    finally:
        stage.close()


_CLIENTS = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    _CLIENTS.close()


def signed_in(stage: Stage, role: str) -> httpx.Client:
    client = _CLIENTS.enter_context(httpx.Client(base_url=stage.url, timeout=30))
    form = {"name": role, "password": PASSWORD}
    assert client.post("/login", data=form).status_code == HTTPStatus.SEE_OTHER
    return client


def log_of(stage: Stage) -> str:
    return (stage.folder / "dashboard.log").read_text(errors="replace")


class Tab:
    """A page as its HTML has it: NiceGUI's id of the client, and what listens."""

    def __init__(self, client: httpx.Client) -> None:
        text = client.get("/").text
        found = re.search(r"'client_id': '([^']+)'", text)
        say = re.search(r'"type": ?"say".{0,200}?"listener_id": ?"([^"]+)"', text)
        say = say or re.search(
            r'"listener_id": ?"([^"]+)".{0,200}?"type": ?"say"', text
        )
        element = re.search(r'"(\d+)": ?\{"tag": ?"nicegui-frame', text)
        assert found is not None, text[-3000:]
        self.id = found[1]
        self.listener = say[1] if say else ""
        self.element = int(element[1]) if element else 0
        self.cookie = "; ".join(f"{k}={v}" for k, v in client.cookies.items())

    def query(self) -> dict[str, str]:
        return {
            "client_id": self.id,
            "document_id": str(uuid.uuid4()),
            "tab_id": str(uuid.uuid4()),
            "next_message_id": "0",
        }


async def socket_of(
    stage: Stage, cookie: str, query: dict[str, str]
) -> websockets.ClientConnection:
    words = urlencode({**query, "EIO": "4", "transport": "websocket"})
    host = urlsplit(stage.url).netloc
    opened = await websockets.connect(
        f"ws://{host}/_nicegui_ws/socket.io/?{words}",
        additional_headers={"Cookie": cookie},
        ping_interval=None,
    )
    await opened.send("40")
    return opened


async def heard(opened: websockets.ClientConnection, for_s: float = 2.0) -> str:
    said: list[str] = []
    with contextlib.suppress(TimeoutError, WebSocketException):
        async with asyncio.timeout(for_s):
            async for frame in opened:
                said.append(str(frame))  # noqa: PERF401  # what came before the time was over counts
    return "\n".join(said)


async def test_a_socket_reaches_only_a_page_of_its_own_session(own: Stage) -> None:
    admin, viewer = signed_in(own, "admin"), signed_in(own, "viewer")
    theirs, mine = Tab(admin), Tab(viewer)

    foreign = await socket_of(own, mine.cookie, theirs.query())
    assert "handshake failed" in await heard(foreign)
    plain = await socket_of(own, mine.cookie, {})
    await plain.send("420" + json.dumps(["handshake", theirs.query()]))
    assert "430[false]" in await heard(plain)
    for name in ("event", "ack", "javascript_response", "log"):
        message = {"client_id": theirs.id, "id": theirs.element, "args": ['{"kind":1}']}
        message |= {"listener_id": theirs.listener, "next_message_id": 9}
        await plain.send("42" + json.dumps([name, message]))
    await heard(plain)
    for what in ("socket", "handshake", "event", "ack", "javascript_response", "log"):
        assert f"{what} for a foreign page" in log_of(own)
    right = await socket_of(own, theirs.cookie, theirs.query())
    assert "handshake failed" not in await heard(right)
    for each in (foreign, plain, right):
        await each.close()


async def test_frames_that_cannot_be_read_print_no_traceback(own: Stage) -> None:
    mine = Tab(signed_in(own, "viewer"))
    frames = [
        "42", "42[]", '42["event"]', '42["event",1]', '42["event",{}]', "42{", "451-[",
        '42["event",{"client_id":7}]', '42["handshake"]', '42["handshake",[]]', "9", "",
        '42["ack",{"client_id":"' + mine.id + '"}]', '42["log",null]', "4", "47", "x",
        '42["event",{"client_id":"' + mine.id + '","id":"x","args":[1]}]', '42[1,2]',
        '42["log",{"client_id":"' + mine.id + '","level":"no"}]', '42["event",1,2,3]',
        "4" + "[" * 5000, '51-["event",{"_placeholder":true,"num":0}]',
    ]  # fmt: skip
    for frame in frames:
        opened = await socket_of(own, mine.cookie, mine.query())
        with contextlib.suppress(WebSocketException):
            await opened.send(frame)
            await opened.send(frame.encode())
        await heard(opened, 0.3)
        await opened.close()
    assert "Traceback" not in log_of(own)
    assert signed_in(own, "viewer").get("/").status_code == HTTPStatus.OK


def test_half_requests_keep_nobody_out(own: Stage) -> None:
    port = urlsplit(own.url).port
    held = []
    for _ in range(SOCKETS):
        one = socket.create_connection(("127.0.0.1", port or 0), 5)
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        held.append(one)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == HTTPStatus.OK
    connection.close()

    def ended() -> int:
        count = 0
        for one in held:
            one.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                try:
                    count += one.recv(1) == b""
                except ConnectionError:
                    count += 1
        return count

    wait_until(lambda: ended() >= SOCKETS - 128, "the oldest are closed")
    for one in held:
        one.close()


def test_a_forged_address_gives_no_further_guesses(own: Stage) -> None:
    codes = []
    for number in range(12):
        forged = {"X-Forwarded-For": f"10.0.0.{number}"}
        form = {"name": "admin", "password": "guess"}
        codes.append(httpx.post(f"{own.url}/login", data=form, headers=forged))
    assert [one.status_code for one in codes].count(HTTPStatus.UNAUTHORIZED) == 5
    signed_in(own, "viewer")  # another account, from the same address


@pytest.mark.parametrize("path", ["/login", "/", "/healthz"])
def test_a_sub_path_is_refused_with_a_sentence(own: Stage, path: str) -> None:
    refused = httpx.get(
        own.url + path, headers={"X-Forwarded-Prefix": "//evil.example"}
    )
    assert refused.status_code == HTTPStatus.BAD_REQUEST
    assert "host name of its own" in refused.text
    plain = httpx.get(f"{own.url}/login", headers={"X-Forwarded-Prefix": "/"})
    assert plain.status_code == HTTPStatus.OK


def test_signing_out_lasts_over_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    try:
        stage.start_broker()
        process = stage.start_dashboard()
        client = signed_in(stage, "viewer")
        kept = signed_in(stage, "admin")
        copy = dict(client.cookies)
        assert list(copy) == ["pirack-session"]
        client.post("/logout")
        process.kill()
        process.wait()
        stage.start_dashboard()
        again = httpx.get(f"{stage.url}/session", cookies=copy)
        assert again.json() == {"signed_in": False}
        assert kept.get("/session").json() == {"signed_in": True}
    finally:
        stage.close()


def test_a_broken_users_file_is_a_sentence_at_the_login(own: Stage) -> None:
    (own.folder / "data" / "users.json").write_text("{")
    form = {"name": "admin", "password": PASSWORD}
    answer = httpx.post(f"{own.url}/login", data=form)
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "users file cannot be read" in answer.text
