"""``[dashboard]`` of ``pirack.toml``."""

import ipaddress
from pathlib import Path
from typing import Annotated

import msgspec

from broker.common.config import Port

Level = Annotated[float, msgspec.Meta(gt=0, le=150)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[dashboard.thresholds]``: from where on a tile turns to warn or critical.

    Args:
        temperature_warn_c: Processor temperature. A Pi throttles itself from 80 °C,
            a Pi 3B+ lowers its clock from 60 °C already.
        temperature_crit_c: The same.
        memory_warn_percent: Memory in use.
        disk_warn_percent: Root file system in use.
        cpu_warn_percent: Mean over the last three minutes. There is no critical level:
            a busy board is doing what it was bought for.
    """

    temperature_warn_c: Level = 70
    temperature_crit_c: Level = 80
    memory_warn_percent: Level = 85
    memory_crit_percent: Level = 95
    disk_warn_percent: Level = 85
    disk_crit_percent: Level = 95
    cpu_warn_percent: Level = 95


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``[dashboard]``: where the page is served and who may see it.

    Args:
        host: Address to listen on; ``0.0.0.0`` for the whole network.
        http_port: TCP port of the page.
        data: Directory for the users and the session secret; made if missing.
        users: Users file; empty for ``users.json`` in ``data``.
        mosquitto_pub: How *copy as mosquitto_pub* begins, for example
            ``mosquitto_pub -h rack.lan -u operator -P secret``; empty for host and
            port of ``[broker]`` without credentials.
        https: The page is reached over TLS (a proxy's), so cookies are marked Secure.
        proxies: Addresses or networks of proxies in front of the page. Only what they
            say about the browser's address and about TLS (``X-Forwarded-For`` and
            ``-Proto``) is believed.
        session_hours: How long a sign-in lasts.
        tick_ms: How often browsers are sent what changed.
        thresholds: From where on a tile turns to warn or critical.
    """

    host: str = "127.0.0.1"
    http_port: Port = 8080
    data: str = "data/dashboard"
    users: str = ""
    mosquitto_pub: str = ""
    https: bool = False
    proxies: tuple[str, ...] = ()
    session_hours: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 168
    tick_ms: Annotated[int, msgspec.Meta(ge=50, le=5000)] = 200
    thresholds: Thresholds = Thresholds()

    def __post_init__(self) -> None:
        """Checks what the types do not say.

        Raises:
            ValueError: A proxy is not an address or a network.
        """
        for proxy in self.proxies:
            ipaddress.ip_network(proxy, strict=False)

    @property
    def data_path(self) -> Path:
        """The data directory."""
        return Path(self.data)

    @property
    def users_path(self) -> Path:
        """The users file."""
        return Path(self.users) if self.users else self.data_path / "users.json"
