import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware

from dashboard.server.auth_middleware import AuthMiddleware
from dashboard.server.login import LoginPages
from dashboard.server.sessions import Sessions
from dashboard.server.users import PageRole, Users, make_user


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A stranger at the door of a rack that ada may see."""
    users = Users(tmp_path / "users.json")
    users.put(make_user("ada", PageRole.VIEWER, "right"))
    sessions, app = Sessions(users), FastAPI()
    LoginPages(users, sessions, static="/s", fonts="/f.css", rack="lab").mount(app)
    app.add_middleware(AuthMiddleware, sessions=sessions)
    app.add_middleware(SessionMiddleware, secret_key="x")
    door = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=door, base_url="http://rack") as client:
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
