"""Renders the configuration of the Mosquitto that PiRack runs as a child.

The same lines with their reasons are in ``mosquitto.conf``, for a broker of one's own.
Everything here is understood by 2.0 and 2.1.
"""

from pathlib import Path

import msgspec

from broker.common.errors import BrokerError

ALL_ADDRESSES = ""
"""As host: listen on every address, IPv4 and IPv6."""


class TlsListener(msgspec.Struct, frozen=True, kw_only=True):
    """A second listener, encrypted.

    Args:
        port: TCP port.
        certificate: PEM file of the server, with its chain.
        key: PEM file of its private key.
        host: Address to listen on; empty for all.
    """

    port: int
    certificate: Path
    key: Path
    host: str = ALL_ADDRESSES


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one Mosquitto shall run.

    Args:
        directory: Its data: store and ``dynamic-security.json``; absolute.
        plugin: Path of the dynamic-security plugin.
        port: TCP port of the plain listener.
        host: Its address; loopback unless the network may read passwords; empty for
            all addresses.
        tls: An encrypted listener beside it.
    """

    directory: Path
    plugin: Path
    port: int
    host: str = "127.0.0.1"
    tls: TlsListener | None = None


def render(plan: Plan, *, root: bool) -> str:
    """Return the configuration file's text.

    Args:
        plan: How it shall run.
        root: Whether we run as root. Mosquitto would then become the user
            ``mosquitto``, which may not exist, cannot read a private data directory,
            and by changing its user would no longer end with us.

    Raises:
        BrokerError: A path holds a line break.
    """
    lines = [
        "# Written by PiRack at every start; changes here are lost.",
        *(["user root"] if root else []),
        *_listeners(plan),
        "allow_anonymous false",
        f"plugin {_clean(plan.plugin)}",
        f"plugin_opt_config_file {_clean(plan.directory / 'dynamic-security.json')}",
        "persistence true",
        f"persistence_location {_clean(plan.directory)}/",
        *_LIMITS,
    ]
    return "\n".join(lines) + "\n"


_LIMITS = (
    "autosave_interval 30",
    "max_packet_size 262144",
    "max_inflight_messages 20",
    # A master that subscribes to a large rack is sent all that is retained at once.
    "max_queued_messages 100000",
    "max_queued_bytes 67108864",
    "max_keepalive 600",
    "sys_interval 10",
    "set_tcp_nodelay true",
    "log_dest stderr",
    "log_timestamp false",
    "log_type error",
    "log_type warning",
    "log_type notice",
    "connection_messages false",
)


def _listeners(plan: Plan) -> list[str]:
    lines = [f"listener {plan.port} {plan.host}".rstrip()]
    if plan.tls is not None:
        lines += [
            f"listener {plan.tls.port} {plan.tls.host}".rstrip(),
            f"certfile {_clean(plan.tls.certificate)}",
            f"keyfile {_clean(plan.tls.key)}",
            "tls_version tlsv1.2",
        ]
    return lines


def _clean(path: Path) -> Path:
    """Refuse a path that would end its line early."""
    if "\n" in str(path) or "\r" in str(path):
        text = f"path {str(path)!r} has a line break; Mosquitto cannot be told of it"
        raise BrokerError(text)
    return path
