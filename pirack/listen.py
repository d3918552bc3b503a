"""Where the encrypted listener is: an address and a port; pure."""

import ipaddress
from collections.abc import Sequence

import msgspec

from broker.common.errors import ConfigError
from broker.mosquitto.certificates import check_host
from pirack.rack_config import TLS_PORT

HIGHEST = 65535
LOCAL = ("localhost", "127.0.0.1")
"""In every certificate: programs on the rack's own machine may use the door too."""


class Listen(msgspec.Struct, frozen=True):
    """An address of this machine, and a port."""

    host: str
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether it is every address of the machine."""
        return ipaddress.ip_address(self.host).is_unspecified


def parse(text: str) -> Listen:
    """Reads ``0.0.0.0``, ``192.168.1.5:8883``, ``[::]:8883`` or ``::``.

    Raises:
        ConfigError: It is none of these.
    """
    host, port = text.strip(), str(TLS_PORT)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not (port.isdecimal() and 1 <= int(port) <= HIGHEST):
        error = f"listen {text!r}: write ADDRESS or ADDRESS:PORT, as 0.0.0.0:8883"
        raise ConfigError(error)
    return Listen(str(address), int(port))


def names(
    listen: Listen, given: Sequence[str], addresses: Sequence[str], hostname: str
) -> tuple[str, ...]:
    """Returns the names and addresses of the certificate; Pis connect to the first.

    Args:
        listen: Where the listener is.
        given: What the owner says; outweighs all that could be found out.
        addresses: Of this machine, the preferred one first, without loopback.
        hostname: Of this machine.

    Raises:
        CertificateError: A name that was given is none.
    """
    own = [check_host(name) for name in given]
    found = list(addresses) if listen.everywhere else [listen.host]
    short = hostname.partition(".")[0].lower()
    # The address first: it works in every network; a name needs one that resolves it.
    by_version = sorted(found, key=lambda one: ":" in one)
    local = [f"{short}.local", short] if short else []
    return tuple(dict.fromkeys([*own, *by_version, *local, *LOCAL]))
