"""Bounds what connections may hold: slow or silent ones cannot exhaust the page.

uvicorn waits for a request for ever and takes connections until the process has no
descriptor left, also for the broker. Here a request must be there in time, one address
has a share of connections, and some descriptors are kept for other uses.
"""

import asyncio
import ipaddress
import logging
import resource
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, TypeAlias

from uvicorn.protocols.http.auto import AutoHTTPProtocol

log = logging.getLogger(__name__)

REQUEST_S = 15.0
"""For the first byte to the last of a request's head, seconds. A browser that connects
in advance and is closed connects again."""
ANSWER_S = 300.0
"""For a request and its answer: the largest file on a slow line."""
PER_ADDRESS = 128
"""Connections of one address that are not websockets; a browser has six."""
RESERVED = 128
"""Descriptors that are never given to connections."""
_FEWEST = 64
_IPV6_NETWORK_BITS = 64

Waiting: TypeAlias = "OrderedDict[BoundedProtocol, None]"


class ConnectionLimits:
    """Counts the connections of the server.

    Args:
        most: Connections at the same time, websockets included.
        per_address: Those of one address that are not websockets.
        exempt: Addresses or networks of named proxies, by which everybody comes.
    """

    def __init__(
        self,
        most: int,
        per_address: int = PER_ADDRESS,
        exempt: Iterable[str] = (),
    ) -> None:
        self._most = most
        self._per_address = per_address
        self._exempt = [ipaddress.ip_network(one, strict=False) for one in exempt]
        self._waiting: dict[str, Waiting] = {}
        self._logged = False

    def enter(self, connection: "BoundedProtocol") -> bool:
        """Counts a new connection; returns False when it must be closed at once.

        Where an address has its share, its oldest connection is closed for the new one:
        one that holds many open does not keep others out.
        """
        count = len(connection.connections)  # uvicorn's own, websockets included
        if count > self._most:
            if not self._logged:
                log.warning("%d connections are open; further ones are closed", count)
            self._logged = True
            return False
        self._logged = False
        address = connection.address
        mine = self._waiting.setdefault(address, OrderedDict())
        mine[connection] = None
        if len(mine) > self._per_address and not self._is_exempt(connection):
            oldest, _ = mine.popitem(last=False)
            oldest.cut()
        return True

    def _is_exempt(self, connection: "BoundedProtocol") -> bool:
        try:
            found = ipaddress.ip_address(connection.client[0])
        except (TypeError, ValueError):
            return False
        return any(found in one for one in self._exempt)

    def leave(self, connection: "BoundedProtocol") -> None:
        """Forgets a connection that has ended, or has become a websocket."""
        mine = self._waiting.get(connection.address)
        if mine is not None:
            mine.pop(connection, None)
            if not mine:
                del self._waiting[connection.address]


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen by uvicorn when it is imported
    """uvicorn's HTTP connection with a time limit; made by ``bounded``."""

    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # uvicorn's own
        super().__init__(*args, **kwargs)
        self.address = ""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Counts it, and begins to wait for a request."""
        super().connection_made(transport)
        self.address = network(self.client[0]) if self.client else ""
        if self.limits.enter(self):
            self._wait(REQUEST_S)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Reads bytes; a complete head gives the answer its time."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._wait(ANSWER_S)

    def on_response_complete(self) -> None:
        """Waits for the next request; uvicorn closes an idle connection sooner."""
        super().on_response_complete()
        if self._deadline is not None:
            self._wait(REQUEST_S)

    def handle_websocket_upgrade(self, *args: Any) -> None:  # noqa: ANN401  # uvicorn's own
        """Hands the connection to the websocket, which has its own keepalive."""
        self._stop_waiting()
        self.limits.leave(self)
        super().handle_websocket_upgrade(*args)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts its end."""
        self._stop_waiting()
        self.limits.leave(self)
        super().connection_lost(exc)

    def cut(self) -> None:
        """Closes it at once."""
        self._stop_waiting()
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self.cut)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """Returns what uvicorn makes its connections of."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})


def network(address: str) -> str:
    """Returns an address; of IPv6 the network, of which one host has all addresses."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, _IPV6_NETWORK_BITS), strict=False))
    return str(found)


def raise_limit() -> int:
    """Raises the limit of open files; returns how many connections then fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(_FEWEST, soft - RESERVED)
