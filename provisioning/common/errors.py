"""What can go wrong while boards are found and addressed.

ProvisioningError
├── BusyError           a run is under way: one at a time
├── NoRunError          there is no run to confirm or cancel
├── SubnetError         addresses that cannot be planned: a person must change them
├── JournalError        the journal cannot be read or written
├── NetworkError        the interface cannot be listened or spoken on
└── BackendError        a DHCP server cannot be started, configured or asked
    └── ConfigurationRefusedError   it must not get this; nothing was written
"""

import msgspec

from broker.common.errors import PiRackError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a check found, for a person to know or to repair.

    Args:
        text: What is wrong and what would be right.
        fatal: The run does not begin with it, unless it is forced.
        passing: It is over once boards are heard: a link comes up with their switch.
    """

    text: str
    fatal: bool = False
    passing: bool = False


class ProvisioningError(PiRackError):
    """Base of everything that goes wrong while boards are found and addressed."""


class BusyError(ProvisioningError):
    """A run is under way, and there is one at a time."""


class NoRunError(ProvisioningError):
    """There is no run to confirm or cancel."""


class SubnetError(ProvisioningError, ValueError):
    """Addresses that cannot be planned; the text says which and what is right."""


class JournalError(ProvisioningError):
    """The journal cannot be read or written."""


class NetworkError(ProvisioningError):
    """The interface cannot be listened or spoken on."""


class BackendError(ProvisioningError):
    """A DHCP server cannot be started, configured or asked."""


class ConfigurationRefusedError(BackendError):
    """A configuration the server must not get, or does not accept."""
