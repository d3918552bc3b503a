"""The encrypted listener by which real Pis join a rack of ``pirack up``."""

import platform
import time
from pathlib import Path

import msgspec

from broker.common.atomic import replace
from broker.common.errors import CertificateError, ConfigError
from broker.mosquitto import certificates
from broker.mosquitto.configuration import TlsListener
from node_agent.vitals import LinuxBoard
from pirack import house, listen
from pirack.up import ports, toml
from pirack.up.layout import Layout
from pirack.up.settings import Options


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How Pis come in.

    Args:
        host: What they are told.
        port: Likewise.
        listener: What the broker is told.
    """

    host: str
    port: int
    listener: TlsListener


def prepare(
    options: Options, where: Layout, *, mqtt_port: int, node: str
) -> Door | None:
    """Makes the certificate and writes what ``pirack node`` reads; None where none is.

    Args:
        options: What was asked for.
        where: Paths.
        mqtt_port: Of the broker, on this machine.
        node: Id of this machine, which needs no door.

    Raises:
        ConfigError: The port is taken, or the certificate cannot be made.
        OSError: Something cannot be written.
    """
    if options.listen is None:
        where.enrol.unlink(missing_ok=True)  # of an earlier start that listened
        return None
    host, port = options.listen.host, options.listen.port
    if not ports.is_free(host, port):
        # Unlike the others it never moves: every Pi was told this one.
        text = f"--listen {host}: port {port} is taken; name another: {host}:<port>"
        raise ConfigError(text)
    files = house.certificate_files(where.secrets, where.tls)
    names = _names(options)
    try:
        certificates.ensure(files, names, rack=options.rack, now=time.time())
    except CertificateError as error:
        raise ConfigError(str(error)) from error
    text = toml.dumps(_tables(options, where, names[0], mqtt_port, node))
    replace(where.enrol, text.encode())
    return Door(
        host=names[0],
        port=port,
        listener=TlsListener(
            port=port, certificate=files.certificate, key=files.key, host=host
        ),
    )


def _names(options: Options) -> tuple[str, ...]:
    assert options.listen is not None  # noqa: S101  # asked for, see prepare
    addresses = LinuxBoard().facts().addresses
    try:
        return listen.names(options.listen, options.names, addresses, platform.node())
    except CertificateError as error:
        text = f"--name: {error}"
        raise ConfigError(text) from error


def _tables(
    options: Options, where: Layout, host: str, mqtt_port: int, node: str
) -> dict[str, dict[str, str | int]]:
    assert options.listen is not None  # noqa: S101  # asked for, see prepare
    return {
        "rack": {"name": options.rack},
        "broker": {
            "host": _reached(options.mqtt_host),
            "port": mqtt_port,
            "credentials": str(where.credentials(node)),
        },
        "enrol": {
            "host": host,
            "port": options.listen.port,
            "secrets": str(where.secrets),
            "tls": str(where.tls),
            "dynsec": str(_dynsec(where)),
        },
    }


def _dynsec(where: Layout) -> Path:
    return where.broker / "dynamic-security.json"


def _reached(mqtt_host: str) -> str:
    every = {"0.0.0.0", "::", ""}  # noqa: S104  # compared, not listened on
    return "127.0.0.1" if mqtt_host in every else mqtt_host
