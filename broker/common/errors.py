"""Every error PiRack raises on purpose.

PiRackError
├── ConfigError            the configuration cannot be used: a person must change it
│   └── DamagedFileError   a file that a program wrote is torn or is something else
├── ContractError          something said breaks the MQTT contract
│   ├── TopicError         a topic or a name outside the contract (also a ValueError)
│   └── PayloadError       a payload that does not decode or is too large (ValueError)
├── LinkError              the broker cannot be reached or used
│   ├── NotConnectedError  nothing can be sent now (also a ConnectionError)
│   ├── LinkRefusedError   the broker answered a connection with a refusal
│   └── SilentError        the broker closed a connection instead of an answer
├── BrokerError            the Mosquitto child cannot be found, started or configured
├── ControlError           the broker did not change who may connect
└── CertificateError       a certificate cannot be made or read
"""


class PiRackError(Exception):
    """Base of every error PiRack raises on purpose."""


class ConfigError(PiRackError):
    """The configuration cannot be used; the text says which key and what is right."""


class DamagedFileError(ConfigError):
    """A file that a program of ours wrote is torn, or holds something else."""


class ContractError(PiRackError):
    """Something said breaks the MQTT contract."""


class TopicError(ContractError, ValueError):
    """A topic or a name is outside the contract."""


class PayloadError(ContractError, ValueError):
    """A payload does not decode, or is larger than the contract allows."""


class LinkError(PiRackError):
    """The broker cannot be reached or used."""


class NotConnectedError(LinkError, ConnectionError):
    """Nothing can be sent now: the connection to the broker is down."""


class LinkRefusedError(LinkError):
    """The broker answered a connection with a refusal.

    Args:
        text: The refusal in words.
        version: Whether it is the version of MQTT that the broker does not speak.
    """

    def __init__(self, text: str, *, version: bool) -> None:
        super().__init__(text)
        self.version = version


class SilentError(LinkError):
    """The broker took a connection and closed it instead of an answer."""


class BrokerError(PiRackError):
    """Mosquitto cannot be found, started or configured."""


class ControlError(PiRackError):
    """The broker did not change who may connect, or did not answer."""


class CertificateError(PiRackError):
    """A certificate cannot be made or read."""
