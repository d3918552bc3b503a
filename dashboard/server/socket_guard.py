"""Binds each socket to its own page: socket, NiceGUI client and session go together.

NiceGUI knows a page by its client id, and an event by the ids of client and element;
who learned those of another person's page could send its events. Here a socket reaches
only a page that its own session was given. Frames that cannot be read are counted and
dropped; each would otherwise be a traceback.
"""

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client, core
from socketio.exceptions import (  # type: ignore[import-untyped]  # has no types
    ConnectionRefusedError as SocketRefusedError,
)

from broker.common.log import Rejections

Handler = Callable[..., Any]
_OF_A_PAGE = ("event", "javascript_response", "ack", "log")
_LOGGERS = ("engineio.server", "socketio.server")


class SocketGuard:
    """Checks socket messages before NiceGUI's own handlers get them."""

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections

    def install(self) -> None:
        """Replaces NiceGUI's handlers by ours, which call them."""
        handlers: dict[str, Handler] = core.sio.handlers["/"]
        core.sio.on("connect", self._connecting(handlers["connect"]))
        core.sio.on("handshake", self._handshaking(handlers["handshake"]))
        for name in _OF_A_PAGE:
            core.sio.on(name, self._event(name, handlers[name]))
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._without_traceback)

    def _connecting(self, handler: Handler) -> Handler:
        async def connect(sid: str, environ: dict[str, Any], *_: object) -> object:
            query = parse_qs(environ.get("QUERY_STRING", ""))
            names = query.get("client_id", [""])
            if names != [""] and not _same_session(names[0], environ):
                self._rejections.add("socket for a foreign page", "")
                text = "Implicit handshake failed"  # what NiceGUI's page reloads at
                raise SocketRefusedError(text)
            return await _called(handler, sid, environ)

        return connect

    def _handshaking(self, handler: Handler) -> Handler:
        async def handshake(sid: str, data: object = None, *_: object) -> object:
            environ = core.sio.get_environ(sid)
            client_id = data.get("client_id") if isinstance(data, dict) else None
            if not isinstance(client_id, str) or not _same_session(client_id, environ):
                self._rejections.add("handshake for a foreign page", "")
                return False
            return await self._tried("handshake", handler, sid, data)

        return handshake

    def _event(self, name: str, handler: Handler) -> Handler:
        async def event(sid: str, data: object = None, *_: object) -> object:
            client_id = data.get("client_id") if isinstance(data, dict) else None
            if not isinstance(client_id, str) or client_id not in core.sio.rooms(sid):
                self._rejections.add(f"{name} for a foreign page", "")
                return None
            return await self._tried(name, handler, sid, data)

        return event

    async def _tried(self, name: str, handler: Handler, *arguments: object) -> object:
        try:
            return await _called(handler, *arguments)
        except Exception as error:  # noqa: BLE001  # what a browser sent may raise anything in NiceGUI
            self._rejections.add("socket", f"{name}: {type(error).__name__}: {error}")
            return False

    def _without_traceback(self, record: logging.LogRecord) -> bool:
        """Counts what Socket.IO could not read, instead of a traceback for each."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self._rejections.add("socket", f"{type(error).__name__}: {error}")
            return False
        return True


async def _called(handler: Handler, *arguments: object) -> object:
    result = handler(*arguments)
    if isawaitable(result):
        waited: Awaitable[object] = result
        return await waited
    return result


def _same_session(client_id: str, environ: dict[str, Any] | None) -> bool:
    """Returns whether a page was given to the session that a socket has."""
    client = Client.instances.get(client_id)
    if client is None or environ is None:
        return client is None  # NiceGUI refuses what it does not know
    session = environ.get("asgi.scope", {}).get("session", {}).get("session")
    return bool(session) and client.request.session.get("session") == session
