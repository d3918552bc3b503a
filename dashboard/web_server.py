"""Puts the dashboard on NiceGUI's web server; the only place that starts it."""

import hashlib
import logging
import re
import secrets
import shlex
import signal
import sys
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import NoReturn

import nicegui
from nicegui import app, ui
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.client.link import Connect
from broker.common.atomic import put_aside, replace
from broker.common.config import BrokerSettings
from dashboard.live.service import Dashboard
from dashboard.pages.routes import Pages, add_lifecycle
from dashboard.server.auth_middleware import STATIC, AuthMiddleware
from dashboard.server.connection_limits import ConnectionLimits, bounded, raise_limit
from dashboard.server.login import LoginPages
from dashboard.server.sessions import Sessions
from dashboard.server.settings import DashboardSettings
from dashboard.server.socket_guard import SocketGuard
from dashboard.server.users import PageRole, Users

log = logging.getLogger(__name__)

_RECONNECT_TIMEOUT_S = 20.0
_SHUTDOWN_S = 2
COOKIE = "pirack-session"
COOKIE_OF_HTTPS = "__Host-pirack-session"
"""Browsers take such a name only over TLS and for this host alone."""
_YEAR_S = 365 * 24 * 3600


def serve(
    settings: DashboardSettings,
    broker: BrokerSettings,
    rack: str,
    connect: Connect,
    connect_as: Mapping[PageRole, Connect] = MappingProxyType({}),
) -> None:
    """Serves the pages until SIGINT or SIGTERM.

    Args:
        broker: ``[broker]``, for the lines people copy.
        connect: Makes the link to the broker.
        connect_as: Makes the link by which the commands of a role are sent.

    Raises:
        ConfigError: The users file is not ours.
        OSError: The data directory cannot be written.
    """
    users = Users(settings.users_path)
    users.all()
    sessions = Sessions(
        users,
        lasts_s=settings.session_hours * 3600,
        ended=settings.data_path / "ended-sessions.json",
    )
    secret = settings.data_path / "session-secret"
    if not sessions.load():
        secret.unlink(missing_ok=True)
    hint = settings.mosquitto_pub or publish_hint(broker)
    dashboard = Dashboard(
        settings, rack, connect, users, publish_hint=hint, connect_as=connect_as
    )
    folder = Path(str(resources.files("dashboard") / "static"))
    static = f"{STATIC}{fingerprint(folder)}"
    app.add_static_files(static, folder, max_cache_age=_YEAR_S)
    login = LoginPages(users, sessions, static=static, fonts=_serve_fonts(), rack=rack)
    login.mount(app)
    Pages(dashboard, sessions, static).mount()
    _add_error_pages(login)
    rejections = dashboard.model.rejections
    app.add_middleware(
        AuthMiddleware, sessions=sessions, https=settings.https, refused=rejections.add
    )
    SocketGuard(rejections).install()
    limits = ConnectionLimits(raise_limit(), exempt=settings.proxies)
    add_lifecycle(dashboard)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    ui.run(
        host=settings.host,
        port=settings.http_port,
        title="PiRack",
        favicon=folder / "favicon.svg",
        dark=None,
        language="en-US",
        binding_refresh_interval=None,
        reconnect_timeout=_RECONNECT_TIMEOUT_S,
        reload=False,
        show=False,
        show_welcome_message=False,
        tailwind=False,
        storage_secret=session_secret(secret),
        session_middleware_kwargs={
            "session_cookie": COOKIE_OF_HTTPS if settings.https else COOKIE,
            "same_site": "strict",
            "https_only": settings.https,
            "max_age": settings.session_hours * 3600,
        },
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        access_log=False,
        http=bounded(limits),
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        server_header=False,
    )


def _serve_fonts() -> str:
    """Serves NiceGUI's fonts without a session; returns the path of their style sheet.

    The login is to look like the other pages, to which NiceGUI gives these fonts; its
    own address for them needs a session, as all the rest of NiceGUI does.
    """
    theirs = Path(nicegui.__file__).parent / "static"
    base = f"{STATIC}nicegui-{nicegui.__version__}"
    app.add_static_files(f"{base}/fonts", theirs / "fonts", max_cache_age=_YEAR_S)
    return app.add_static_file(
        local_file=theirs / "fonts.css",
        url_path=f"{base}/fonts.css",
        max_cache_age=_YEAR_S,
    )


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # a signal handler's signature
    """Ends with code 0: uvicorn stops cleanly, then raises the signal once more."""
    sys.exit(0)


def publish_hint(broker: BrokerSettings) -> str:
    """Returns how a ``mosquitto_pub`` line begins, without credentials."""
    words = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port)]
    if broker.ca_file:
        words += ["--cafile", broker.ca_file]
    return shlex.join(words)


def session_secret(path: Path) -> str:
    """Returns the secret that signs cookies, made once (mode 0600).

    One that a power cut tore could be guessed: there is a new one then.

    Raises:
        OSError: The directory cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.read_bytes() if path.exists() else b""
    if re.fullmatch(rb"[0-9a-f]{64}", kept):
        return kept.decode()
    if path.exists():
        put_aside(path, "is not a secret", "everybody signs in again")
    made = secrets.token_hex(32)
    replace(path, made.encode())
    return made


def fingerprint(folder: Path) -> str:
    """Returns a short hash of a folder's files, so that browsers may keep them."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _add_error_pages(login: LoginPages) -> None:
    """Shows our own 404 and 500; never a traceback."""

    async def missing(request: Request, error: Exception) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            detail = getattr(error, "detail", "not found")
            return JSONResponse({"error": detail}, HTTPStatus.NOT_FOUND)
        text = "There is no page here. It may have moved, or the address has a typo."
        return login.message(HTTPStatus.NOT_FOUND, "Page not found", text)

    async def failed(request: Request, error: Exception) -> Response:
        number = uuid.uuid4().hex[:8]
        log.error("error %s on %s", number, request.url.path, exc_info=error)
        text = f"The dashboard made a mistake; its log has it as error {number}."
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return login.message(status, "Something went wrong", text)

    app.add_exception_handler(404, missing)
    app.add_exception_handler(Exception, failed)
