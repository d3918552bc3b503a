"""Where the broker is, how to sign in, and whether its certificate is trusted."""

import ssl
import time
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError

_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAMES = frozenset({62, 64})
"""``X509_V_ERR_…`` of OpenSSL's x509_vfy.h: the two of time, host name and address."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """All that a connection needs to know; its ``repr`` hides the password.

    Args:
        host: Name or address.
        port: TCP port.
        username: Empty for an anonymous connection.
        password: Secret; belongs to ``username``.
        client_id: What the broker demands as client id of ``username``; empty where it
            demands the name itself, or nothing.
        ca_file: Certificate authority that signed the broker's certificate; None for a
            connection without TLS.
        keepalive_s: Seconds of silence after which the broker asks whether we live.
        rest_s: Seconds that messages may wait to be read together, which costs a reader
            of very many small ones much less; 0 reads each as it comes.
        mqtt5: False speaks MQTT 3.1.1 from the start: paho takes a third less time for
            a message without properties.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = ""
    client_id: str = ""
    ca_file: Path | None = None
    keepalive_s: int = 15
    rest_s: float = 0.0
    mqtt5: bool = True

    def __repr__(self) -> str:
        """Returns what may stand in a log."""
        user = f"{self.username}@" if self.username else ""
        scheme = "mqtts" if self.ca_file else "mqtt"
        return f"Endpoint({scheme}://{user}{self.host}:{self.port})"

    def client_ids(self, name: str, rack: str = "") -> tuple[str, ...]:
        """Returns the client ids to try with this broker, the right one first.

        The id that is kept with the credentials, then the name itself: a board whose
        new credentials arrive before the broker knows them is not locked out. A service
        that signs in under another name than its own, or under none, is on a broker
        that is not ours; there the services of two racks must not have the same id.

        Args:
            name: Fixed name of a node or service, or any id of a person's tool.
            rack: Name of the rack, for a service; empty for others.
        """
        if name != self.username:
            return (f"pirack-{rack}-{name}" if rack else name,)
        if self.client_id and self.client_id != name:
            return (self.client_id, name)
        return (name,)

    def tls(self) -> ssl.SSLContext | None:
        """Returns what verifies the broker, or None for a connection without TLS.

        Raises:
            ConfigError: The certificate authority cannot be read.
        """
        if self.ca_file is None:
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
        except OSError as error:
            text = (
                f"{self.ca_file}: cannot be used as certificate authority: {error}; "
                "give a PEM file of the authority that signed the broker's certificate"
            )
            raise ConfigError(text) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def distrust(self, error: ssl.SSLCertVerificationError) -> str:
        """Returns why the certificate is not trusted, and what would be right."""
        code = error.verify_code
        if code in {_NOT_YET, _EXPIRED}:
            clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
            advice = f"this machine's clock says {clock}; is it set?"
        elif code in _OTHER_NAMES:
            advice = "reach the broker by a name or address its certificate has"
        else:
            advice = (
                f"{self.ca_file} is not the authority that signed its certificate; "
                "is this the rack that was meant?"
            )
        return (
            f"the broker at {self.host}:{self.port} is not trusted: "
            f"{error.verify_message}; {advice}"
        )
