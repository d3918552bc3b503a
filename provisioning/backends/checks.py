"""What can be checked on this machine before boards are asked for."""

from collections.abc import Collection

from provisioning.backends.process_table import somebody_serves_dhcp
from provisioning.discovery.packet_socket import carrier, interface_addresses
from provisioning.errors import BackendError, RefusedError
from provisioning.reservation import Reservation, validate
from provisioning.run.state import Problem
from provisioning.subnet import Subnet


def require_interface(subnet: Subnet) -> None:
    """Refuse to serve on an interface that is not there, before a server is started.

    Raises:
        BackendError: It is not there, or down.
    """
    if carrier(subnet.interface) is None:
        raise BackendError(_not_there(subnet))


def _not_there(subnet: Subnet) -> str:
    return f"interface {subnet.interface} is not there or down; bring it up"


def own_address_problems(subnet: Subnet, *, fatal: bool = True) -> tuple[Problem, ...]:
    """Return whether the master has no address in the network that it asks in.

    Args:
        subnet: The network, as configured.
        fatal: No run begins without it.
    """
    try:
        ours = interface_addresses(subnet.interface)
    except OSError as error:
        text = f"the addresses of {subnet.interface} cannot be read: {error.strerror}"
        return (Problem(text=text),)
    if any(one.network.overlaps(subnet.network) for one in ours):
        return ()
    text = (
        f"interface {subnet.interface} has no address in {subnet.network} yet, so no "
        f"board can be asked there; give it {subnet.address}"
    )
    return (Problem(text=text, fatal=fatal),)


def address_problems(
    want: Collection[Reservation], subnet: Subnet
) -> tuple[Problem, ...]:
    """Return why a set of reservations would be refused.

    Args:
        want: The set.
        subnet: The network, which may be another one than when they were planned.
    """
    try:
        validate(want, subnet)
    except RefusedError as error:
        text = (
            f"{error}; set [install] back, or move install.sqlite out of its data_dir "
            "while the master is stopped: every board is then found and addressed anew"
        )
        return (Problem(text=text, fatal=True),)
    return ()


def common_problems(
    want: Collection[Reservation], subnet: Subnet, *, serving: bool, log: str
) -> tuple[Problem, ...]:
    """Return what stands in the way of serving reservations on an interface.

    Args:
        want: What is to be served.
        subnet: The network.
        serving: Whether our own server runs.
        log: Where a person reads what it said.
    """
    problems = []
    link = carrier(subnet.interface)
    if link is None:
        problems.append(Problem(text=_not_there(subnet), fatal=True))
    elif not link:
        text = f"interface {subnet.interface} has no link; check cable and switch"
        problems.append(Problem(text=text, passing=True))
    if not serving:
        why = f"see {log}"
        if somebody_serves_dhcp():
            why = "another program has UDP port 67; `pirack doctor` says which"
        text = f"our DHCP server does not run: {why}"
        problems.append(Problem(text=text, fatal=True))
    if link is not None:
        problems += own_address_problems(subnet)
    return (*problems, *address_problems(want, subnet))
