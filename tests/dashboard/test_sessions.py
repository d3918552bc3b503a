import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware

from dashboard.server.auth_middleware import AuthMiddleware, same_origin
from dashboard.server.login import LoginPages
from dashboard.server.sessions import Sessions, SignInThrottle, safe_path
from dashboard.server.users import PageRole, PageUser, Users, make_user


@pytest.mark.parametrize("wanted", ["/", "/about", "/?q=temp:%3E70&node=pi-1"])
def test_a_path_of_ours_is_where_one_goes_after_signing_in(wanted: str) -> None:
    assert safe_path(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "about",
        "/\tx",
        "/\r\nSet-Cookie: x=1",
    ],
)
def test_another_place_is_not(wanted: str) -> None:
    assert safe_path(wanted) == "/"


def test_guessing_becomes_slow_after_five_failures() -> None:
    now = 0.0
    throttle = SignInThrottle(lambda: now)
    for _ in range(5):
        assert throttle.wait_s("eve") == 0
        throttle.failed("eve")

    assert throttle.wait_s("eve") == 2
    throttle.failed("eve")
    assert throttle.wait_s("eve") == 4
    assert throttle.wait_s("ada") == 0
    for _ in range(40):
        throttle.failed("eve")
    assert throttle.wait_s("eve") == 300
    for _ in range(2_000):  # days of it: no number is too large
        throttle.failed("eve")
    assert throttle.wait_s("eve") == 300
    now = 1000.0
    assert throttle.wait_s("eve") == 0


def test_signing_in_forgets_the_failures() -> None:
    throttle = SignInThrottle(lambda: 0.0)
    for _ in range(9):
        throttle.failed("ada")

    throttle.succeeded("ada")

    assert throttle.wait_s("ada") == 0


def test_guessing_one_account_locks_out_no_other_and_no_other_address() -> None:
    throttle = SignInThrottle(lambda: 0.0)
    for _ in range(50):
        throttle.may_try("admin", "10.0.0.1")

    assert throttle.may_try("admin", "10.0.0.1") > 0
    assert throttle.may_try("ann", "10.0.0.1") == 0
    assert throttle.may_try("admin", "10.0.0.2") == 0


def test_an_address_or_a_name_under_attack_has_one_free_try_a_pair() -> None:
    throttle = SignInThrottle(lambda: 0.0)
    for number in range(20):
        assert throttle.may_try(f"name-{number}", "10.0.0.1") == 0
        assert throttle.may_try("admin", f"10.0.1.{number}") == 0

    for name, address in (("ann", "10.0.0.1"), ("admin", "10.0.0.9")):
        assert throttle.may_try(name, address) == 0
        assert throttle.may_try(name, address) > 0
    assert [throttle.may_try("ann", "10.0.0.9") for _ in range(6)] == [0, 0, 0, 0, 0, 2]


def test_right_passwords_are_no_attack() -> None:
    throttle = SignInThrottle(lambda: 0.0)
    for _ in range(100):
        assert throttle.may_try("ann", "10.0.0.1") == 0
        throttle.was_right("ann", "10.0.0.1")


@pytest.fixture
def users(tmp_path: Path) -> Users:
    users = Users(tmp_path / "users.json")
    users.put(make_user("ada", PageRole.VIEWER, "right"))
    return users


@pytest.fixture
def ada(users: Users) -> PageUser:
    (ada,) = users.all()
    return ada


def test_a_sign_out_outlives_the_process_and_a_damaged_file_is_said(
    tmp_path: Path, users: Users, ada: PageUser
) -> None:
    path = tmp_path / "ended.json"
    sessions = Sessions(users, ended=path)
    assert sessions.load()
    cookie: dict[str, Any] = {}
    sessions.begin(cookie, ada)
    copy = dict(cookie)
    sessions.end(cookie)

    again = Sessions(users, ended=path)
    assert again.load()
    assert again.user(copy) is None
    for content in (b"", b"{", b"[1]", b"[" * 100_000):
        path.write_bytes(content)
        assert not Sessions(users, ended=path).load()
        assert path.with_suffix(".broken").read_bytes() == content
        assert not path.exists()


def test_a_session_ends_when_one_signs_out_even_for_a_copy_of_the_cookie(
    users: Users, ada: PageUser
) -> None:
    sessions = Sessions(users)
    cookie: dict[str, Any] = {}
    sessions.begin(cookie, ada)
    copy = dict(cookie)
    assert sessions.user(cookie) == ada
    live = sessions.watch(cookie["session"], ada)
    assert live()

    sessions.end(cookie)

    assert cookie == {}
    assert sessions.user(copy) is None
    assert not live()


def test_an_open_page_ends_when_its_session_would_have_to_be_begun_again(
    users: Users, ada: PageUser
) -> None:
    now = [1000.0]
    sessions = Sessions(users, lasts_s=3600, clock=lambda: now[0])
    live = sessions.watch("one", ada)

    now[0] += 3599
    assert live()
    now[0] += 1
    assert not live()


@pytest.mark.parametrize(
    "cookie",
    [{}, {"user": "ada"}, {"user": 1, "stamp": 2, "session": 3}, {"user": "eve"}],
)
def test_a_strange_cookie_is_nobody(tmp_path: Path, cookie: dict[str, Any]) -> None:
    assert Sessions(Users(tmp_path / "users.json")).user(cookie) is None


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"host": "rack:8080", "origin": "http://rack:8080"}, True),
        ({"host": "rack:8080", "origin": "http://evil.example"}, False),
        ({"host": "rack:8080", "origin": "null"}, False),
        ({"host": "rack:8080", "sec-fetch-site": "cross-site"}, False),
        ({"host": "rack:8080"}, True),
    ],
)
def test_only_our_own_pages_may_change_things(
    headers: dict[str, str], *, ours: bool
) -> None:
    assert same_origin(headers) is ours


@pytest.fixture
async def visitor(users: Users) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a session, at a rack that ada may see."""
    sessions, app = Sessions(users), FastAPI()
    LoginPages(users, sessions, static="/s", fonts="/f.css", rack="lab").mount(app)
    app.add_middleware(AuthMiddleware, sessions=sessions)
    app.add_middleware(SessionMiddleware, secret_key="x")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://rack") as client:
        yield client


async def sign_in(visitor: httpx.AsyncClient, password: str) -> int:
    form = {"name": "ada", "password": password}
    return (await visitor.post("/login", data=form)).status_code


async def test_guesses_sent_side_by_side_are_counted_like_others(
    visitor: httpx.AsyncClient,
) -> None:
    guesses = [sign_in(visitor, f"guess {number}") for number in range(12)]

    assert Counter(await asyncio.gather(*guesses)) == {401: 5, 429: 7}


async def test_the_right_password_forgets_the_failures(
    visitor: httpx.AsyncClient,
) -> None:
    for _ in range(2):
        for _ in range(4):
            assert await sign_in(visitor, "wrong") == 401
        assert await sign_in(visitor, "right") == 303
