"""What a run is told, and what it wants done.

An action carries the turn it belongs to, and its answer carries the same.
"""

import msgspec

from broker.contract.messages import Power
from provisioning.common.errors import Problem
from provisioning.common.network import ArpAnswer, BoardHeard, ForeignServer
from provisioning.common.subnet import Reservation
from provisioning.run.state import Leave

# --- what a run is told ---------------------------------------------------------------


class ReadinessChecked(msgspec.Struct, frozen=True):
    """Result of the checks before the run."""

    turn: int
    problems: tuple[Problem, ...]
    levels: dict[int, Power]


class RunConfirmed(msgspec.Struct, frozen=True):
    """A person read the forecast and agrees."""

    by: str = ""


class RunCancelled(msgspec.Struct, frozen=True):
    """A person ends it early."""

    leave: Leave
    by: str = ""


class StackSwitched(msgspec.Struct, frozen=True):
    """An outlet was switched and read back; ``error`` says why not."""

    turn: int
    stack: int
    level: Power
    error: str = ""


class AddressesProbed(msgspec.Struct, frozen=True):
    """The answers to a probe; ``error`` says why the network could not be asked."""

    turn: int
    answers: tuple[ArpAnswer, ...]
    error: str = ""


class ReservationsApplied(msgspec.Struct, frozen=True):
    """The DHCP server has its reservations; ``error`` says why not.

    ``pool_used`` is the number of leases in the pool.
    """

    turn: int
    error: str = ""
    pool_used: int = 0


class ServerSeen(msgspec.Struct, frozen=True):
    """Whether the DHCP server is there."""

    alive: bool


class ServersSearched(msgspec.Struct, frozen=True):
    """Other DHCP servers that made an offer; ``error`` says why none could be asked."""

    servers: tuple[ForeignServer, ...]
    error: str = ""


class Tick(msgspec.Struct, frozen=True):
    """Time passed."""


ActionAnswer = ReadinessChecked | StackSwitched | AddressesProbed | ReservationsApplied
"""To an action of one turn."""

Message = (
    ActionAnswer
    | RunConfirmed
    | RunCancelled
    | BoardHeard
    | ServerSeen
    | ForeignServer
    | ServersSearched
    | Tick
)


# --- what a run wants done ------------------------------------------------------------


class CheckReadiness(msgspec.Struct, frozen=True):
    """Checks whether the run may begin; answered by ``ReadinessChecked``."""

    turn: int
    reservations: tuple[Reservation, ...]


class SwitchStack(msgspec.Struct, frozen=True):
    """Switches an outlet and reads it back; answered by ``StackSwitched``.

    Args:
        consent: A person agreed that boards which cannot be asked lose power; without
            that, an off is refused as long as there is one.
    """

    turn: int
    stack: int
    on: bool
    consent: bool = False


class ProbeAddresses(msgspec.Struct, frozen=True):
    """Asks who has these addresses; answered by ``AddressesProbed``."""

    turn: int
    addresses: tuple[str, ...]


class ApplyReservations(msgspec.Struct, frozen=True):
    """Gives the DHCP server its whole set; answered by ``ReservationsApplied``.

    Their leases are short until ``LengthenLeases``.
    """

    turn: int
    reservations: tuple[Reservation, ...]


class LengthenLeases(msgspec.Struct, frozen=True):
    """Lets the DHCP server give its usual leases again; the run is over by then."""


class SearchServers(msgspec.Struct, frozen=True):
    """Searches other DHCP servers; ``ServersSearched`` answers, in any later turn."""


class HistoryLine(msgspec.Struct, frozen=True):
    """A line of the rack's history."""

    text: str
    stack: int | None = None
    mac: str = ""


Action = (
    CheckReadiness
    | SwitchStack
    | ProbeAddresses
    | ApplyReservations
    | LengthenLeases
    | SearchServers
)
"""What the effects perform."""

Effect = Action | HistoryLine
