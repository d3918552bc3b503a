"""What a run is told, and what it wants done.

Every effect that is answered carries the turn it belongs to, and its answer the same.
"""

import msgspec

from broker.contract.messages import Power
from provisioning.common.errors import Problem
from provisioning.common.network import ArpAnswer, BoardHeard, ForeignServer
from provisioning.common.subnet import Reservation
from provisioning.run.state import Leave

# --- what a run is told ---------------------------------------------------------------


class Checked(msgspec.Struct, frozen=True):
    """The checks before the run are through."""

    turn: int
    problems: tuple[Problem, ...]
    levels: dict[int, Power]


class Confirmed(msgspec.Struct, frozen=True):
    """A person read the forecast and agrees."""

    by: str = ""


class Cancelled(msgspec.Struct, frozen=True):
    """A person wants it to end."""

    leave: Leave
    by: str = ""


class Switched(msgspec.Struct, frozen=True):
    """An outlet was switched and read back; ``error`` says why not."""

    turn: int
    stack: int
    level: Power
    error: str = ""


class Probed(msgspec.Struct, frozen=True):
    """The answers to a probe.

    Args:
        turn: Of the probe.
        answers: Who answered.
        error: Why nobody could be asked; empty: everybody was.
    """

    turn: int
    answers: tuple[ArpAnswer, ...]
    error: str = ""


class Applied(msgspec.Struct, frozen=True):
    """The DHCP server has its reservations; ``error`` says why not.

    Args:
        turn: Of the question.
        error: Why it has not; empty: it has.
        pool_used: Leases in the pool.
    """

    turn: int
    error: str = ""
    pool_used: int = 0


class ServerSeen(msgspec.Struct, frozen=True):
    """Whether the DHCP server is there."""

    alive: bool


class Searched(msgspec.Struct, frozen=True):
    """A search for other DHCP servers is over.

    Args:
        servers: Who made an offer.
        error: Why nobody could be asked; empty: everybody was.
    """

    servers: tuple[ForeignServer, ...]
    error: str = ""


class Tick(msgspec.Struct, frozen=True):
    """Time passed."""


Message = (
    Checked
    | Confirmed
    | Cancelled
    | Switched
    | BoardHeard
    | Probed
    | Applied
    | ServerSeen
    | ForeignServer
    | Searched
    | Tick
)


# --- what a run wants done ------------------------------------------------------------


class Check(msgspec.Struct, frozen=True):
    """Ask whether the run may begin; answered by ``Checked``."""

    turn: int
    reservations: tuple[Reservation, ...]


class Switch(msgspec.Struct, frozen=True):
    """Switch an outlet and read it back; answered by ``Switched``.

    Args:
        turn: Of the run.
        stack: Which.
        on: Where to.
        consent: A person agreed that boards which cannot be asked lose power; without
            that, an off is refused as long as there is one.
    """

    turn: int
    stack: int
    on: bool
    consent: bool = False


class Probe(msgspec.Struct, frozen=True):
    """Ask who has these addresses; answered by ``Probed``."""

    turn: int
    addresses: tuple[str, ...]


class Apply(msgspec.Struct, frozen=True):
    """Gives the DHCP server its whole set of reservations; answered by ``Applied``.

    Their leases are short until ``Lengthen``.
    """

    turn: int
    reservations: tuple[Reservation, ...]


class Lengthen(msgspec.Struct, frozen=True):
    """Lets the DHCP server give its usual leases again; the run is over by then."""


class Search(msgspec.Struct, frozen=True):
    """Ask who else serves DHCP; ``Searched`` says so, whatever the run does by then."""


class Say(msgspec.Struct, frozen=True):
    """Write a line of the rack's history."""

    text: str
    stack: int | None = None
    mac: str = ""


Act = Check | Switch | Probe | Apply | Lengthen | Search
"""What is done outside, and answered."""

Effect = Act | Say
