"""The pages that work without a session and without JavaScript: login, 404, failure."""

import asyncio
import html
import logging
import math
import time
from http import HTTPStatus
from importlib import resources
from string import Template
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from broker.common.errors import ConfigError
from dashboard.server.auth_middleware import HEALTH, LOGIN, SESSION
from dashboard.server.connection_limits import network
from dashboard.server.sessions import Sessions, SignInThrottle, safe_path
from dashboard.server.users import PageUser, Users

log = logging.getLogger(__name__)

_MAX_FORM_BYTES = 4096
_FORM_S = 15.0
_CHECKS_AT_ONCE = 2
"""Passwords checked side by side: each takes 16 MB and a processor for a while."""


class LoginPages:
    """Serves the pages that need no session: login, 404, failure.

    Args:
        static: Where static files are served, with their version.
        fonts: The style sheet of the fonts that the other pages have.
    """

    def __init__(
        self, users: Users, sessions: Sessions, *, static: str, fonts: str, rack: str
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._throttle = SignInThrottle(time.monotonic)
        self._at_once = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._static = static
        self._fonts = fonts
        self._rack = rack
        folder = resources.files("dashboard") / "static"
        self._login = Template((folder / "login.html").read_text("utf-8"))
        self._message = Template((folder / "message.html").read_text("utf-8"))

    def mount(self, app: FastAPI) -> None:
        """Adds the routes."""
        app.add_api_route(LOGIN, self.form, methods=["GET"])
        app.add_api_route(LOGIN, self.sign_in, methods=["POST"])
        app.add_api_route("/logout", self.sign_out, methods=["POST"])
        app.add_api_route(HEALTH, self.health, methods=["GET"])
        app.add_api_route(SESSION, self.session, methods=["GET"])

    async def health(self) -> Response:
        """Answers monitors: the server is there."""
        return JSONResponse({"status": "ok"})

    async def session(self, request: Request) -> Response:
        """Tells whether the asker is signed in: its socket learns no reason."""
        known = self._sessions.user(request.session) is not None
        return JSONResponse({"signed_in": known}, headers={"Cache-Control": "no-store"})

    async def form(self, request: Request) -> Response:
        """Shows the login form."""
        wanted = safe_path(request.query_params.get("next", "/"))
        if self._sessions.user(request.session) is not None:
            return RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
        return self._form(wanted=wanted)

    async def sign_in(self, request: Request) -> Response:
        """Checks name and password, and begins a session."""
        fields = await _fields(request)
        wanted = safe_path(fields.get("next", "/"))
        name = fields.get("name", "").strip()
        address = network(request.client.host) if request.client else "?"
        wait_s = self._throttle.may_try(name, address)
        if wait_s > 0:
            text = f"Too many failed attempts. Try again in {math.ceil(wait_s)} s."
            return self._form(wanted, name, text, HTTPStatus.TOO_MANY_REQUESTS)
        try:
            user = await self._verify(name, fields.get("password", ""))
        except ConfigError as error:
            log.error("nobody can sign in: %s", error)  # noqa: TRY400  # the text says all
            text = "Nobody can sign in: the users file cannot be read; see the log."
            return self._form(wanted, name, text, HTTPStatus.SERVICE_UNAVAILABLE)
        if user is None:
            log.warning("failed sign-in from %s", address)
            text = "That name and password do not belong together."
            return self._form(wanted, name, text, HTTPStatus.UNAUTHORIZED)
        self._throttle.was_right(name, address)
        self._sessions.begin(request.session, user)
        log.info("%s signed in from %s", user.name, address)
        return RedirectResponse(wanted, HTTPStatus.SEE_OTHER)

    async def sign_out(self, request: Request) -> Response:
        """Ends the session."""
        self._sessions.end(request.session)
        return RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)

    def message(self, status: HTTPStatus, title: str, text: str) -> HTMLResponse:
        """Returns a page with a title and a text."""
        content = self._message.substitute(
            static=self._static,
            fonts=self._fonts,
            title=html.escape(title),
            text=html.escape(text),
            code=status.value,
        )
        return HTMLResponse(content, status)

    async def _verify(self, name: str, password: str) -> PageUser | None:
        """Checks a password beside the loop: scrypt takes its time on purpose."""
        async with self._at_once:
            return await asyncio.to_thread(self._users.verify, name, password)

    def _form(
        self,
        wanted: str = "/",
        name: str = "",
        error: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> HTMLResponse:
        content = self._login.substitute(
            static=self._static,
            fonts=self._fonts,
            rack=html.escape(self._rack),
            next=html.escape(wanted, quote=True),
            name=html.escape(name, quote=True),
            error=html.escape(error),
            shown="" if error else "hidden",
            focus_name="" if name else " autofocus",
            focus_password=" autofocus" if name else "",
        )
        return HTMLResponse(content, status, {"Cache-Control": "no-store"})


async def _fields(request: Request) -> dict[str, str]:
    """Reads a small form; the first value of each field."""
    body = b""
    try:
        async with asyncio.timeout(_FORM_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_FORM_BYTES:
                    return {}
    except TimeoutError:
        return {}
    parsed = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {key: values[0] for key, values in parsed.items()}
