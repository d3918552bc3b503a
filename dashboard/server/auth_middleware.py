"""ASGI middleware: authentication, same origin, and security headers.

Not Starlette's own kind of middleware, because that never sees WebSockets.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.server.sessions import Sessions

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


HTTPS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}
PREFIX_HEADER = "X-Forwarded-Prefix"
_NO_PREFIX = (
    "the page cannot be served below a path yet; give it a host name of its own at the "
    "proxy, and do not send this header"
)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this from one of our own pages.

    Programs that are no browsers send no Origin; they have no cookie to abuse either.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    return urlsplit(origin).netloc == headers.get("host", "")


class AuthMiddleware:
    """Lets through who is signed in, before anything else runs.

    Args:
        refused: Counts what cannot be read; told its kind and what was wrong.
        https: Browsers come over TLS, and should never come otherwise again.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        *,
        https: bool = False,
        refused: Callable[[str, str], object] = lambda _kind, _text: None,
    ) -> None:
        self._app = app
        self._refused = refused
        self._sessions = sessions
        self._headers = SECURITY_HEADERS | (HTTPS_HEADERS if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, redirects it to the login page, or refuses it."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send, self._headers))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if prefix := _prefix(scope):
            text = f"{PREFIX_HEADER} {prefix[:80]!r}: {_NO_PREFIX}"
            await PlainTextResponse(text, HTTPStatus.BAD_REQUEST)(scope, receive, send)
            return
        changes = scope["method"] not in {"GET", "HEAD", "OPTIONS"}
        if changes and not same_origin(headers):
            refusal: Response = JSONResponse(
                {"error": "cross-origin requests are refused"}, HTTPStatus.FORBIDDEN
            )
            await refusal(scope, receive, send)
        elif _is_open(scope["path"]) or self._sessions.user(scope["session"]):
            await self._app(scope, receive, send)
        else:
            await _unauthorized(scope, headers)(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self._sessions.user(scope["session"]) is not None
        if known and same_origin(Headers(scope=scope)) and not _prefix(scope):
            try:
                await self._app(scope, receive, send)
            except Exception as error:  # noqa: BLE001  # a frame that Engine.IO cannot read ends its socket only
                self._refused("socket", f"{type(error).__name__}: {error}")
            return
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(STATIC)


def _unauthorized(scope: Scope, headers: Headers) -> Response:
    """Redirects a page to the login; answers anything else with 401."""
    if "text/html" not in headers.get("accept", ""):
        return JSONResponse({"error": "sign in first"}, HTTPStatus.UNAUTHORIZED)
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope["path"] + (f"?{query}" if query else "")
    target = LOGIN if wanted == "/" else f"{LOGIN}?next={quote(wanted, safe='')}"
    return RedirectResponse(target, HTTPStatus.SEE_OTHER)


def _prefix(scope: Scope) -> str:
    """Returns the sub-path that a proxy serves us below; the header is taken away.

    Anybody can send it, and NiceGUI would put it in front of its own links only.
    """
    name = PREFIX_HEADER.lower().encode()
    kept = [pair for pair in scope["headers"] if pair[0].lower() != name]
    found = [value for key, value in scope["headers"] if key.lower() == name]
    scope["headers"] = kept
    return b",".join(found).decode("latin-1").strip().strip("/")


def _with_headers(send: Send, more: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in more.items():
                headers[name] = value
        await send(message)

    return sending
