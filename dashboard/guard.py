"""The door of the web server: nobody unknown gets further, and headers are strict.

A plain ASGI middleware, because the usual kind never sees WebSockets.
"""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.sessions import Sessions

LOGIN = "/login"
HEALTH = "/healthz"
SESSION = "/session"
STATIC = "/static/"
_OPEN = (LOGIN, HEALTH, SESSION, "/favicon.ico")
_POLICY_VIOLATION = 1008

SECURITY_HEADERS = {
    # NiceGUI compiles Vue templates and evaluates handlers in the browser, so scripts
    # cannot be stricter (zauberzeug/nicegui PR 5345); everything else is.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this from one of our own pages.

    Programs that are no browsers send no Origin; they have no cookie to abuse either.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    return urlsplit(origin).netloc == headers.get("host", "")


class Guard:
    """Asks who is there before anything else runs.

    Args:
        app: What is behind the door.
        sessions: Knows who is signed in.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, send to the login page, or refuse."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        changes = scope["method"] not in {"GET", "HEAD", "OPTIONS"}
        if changes and not same_origin(headers):
            refusal: Response = JSONResponse(
                {"error": "cross-origin requests are refused"}, HTTPStatus.FORBIDDEN
            )
            await refusal(scope, receive, send)
        elif _is_open(scope["path"]) or self._sessions.user(scope["session"]):
            await self._app(scope, receive, send)
        else:
            await _turn_away(scope, headers)(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._sessions.user(scope["session"]) is not None
        if known and same_origin(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(STATIC)


def _turn_away(scope: Scope, headers: Headers) -> Response:
    """A page leads to the login; anything else is told plainly."""
    if "text/html" not in headers.get("accept", ""):
        return JSONResponse({"error": "sign in first"}, HTTPStatus.UNAUTHORIZED)
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    target = LOGIN if wanted == "/" else f"{LOGIN}?next={quote(wanted, safe='')}"
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
