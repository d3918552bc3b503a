"""What can go wrong while boards are found and addressed.

ProvisioningError
├── BusyError           a run is under way: one at a time
├── NoRunError          there is no run to confirm or cancel
├── SubnetError         addresses that cannot be planned: a person must change them
├── JournalError        the journal cannot be read or written
├── NetworkError        the interface cannot be listened or spoken on
└── BackendError        a DHCP server cannot be started, configured or asked
    └── RefusedError    a set of reservations it must not get; nothing was written
"""

from broker.common.errors import PiRackError


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


class RefusedError(BackendError):
    """A set of reservations the server must not get; nothing was written."""
