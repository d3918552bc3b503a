"""The interface of every driver that switches power, and its errors.

PowerError
├── PowerFatalError        a person must act: wrong wiring, rights, program or answer
└── PowerRetryableError    it may work in a moment: worth another attempt
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from broker.common.errors import PiRackError
from broker.contract.messages import Power


class PowerError(PiRackError):
    """An outlet cannot be claimed, switched or read."""


class PowerFatalError(PowerError):
    """An outlet cannot be used as it stands; trying again does not help."""


class PowerRetryableError(PowerError):
    """An outlet did not answer this time; it may if asked again."""


class Outlets(Protocol):
    """A driver and its outlets, named as in ``[[outlet]]``.

    Only ``switch`` ever changes a level: neither claiming, closing nor losing the
    process may. A method that waits gives up by itself after a few seconds.
    """

    async def claim(self, outlet: str, level: Power) -> None:
        """Claims an outlet without changing its level.

        Args:
            level: The level it was last seen at, which a driver that has to set one
                when it opens a line sets; unknown for an outlet never switched.

        Raises:
            PowerError: There is no such outlet, or it cannot be had.
        """

    async def read(self, outlet: str) -> Power:
        """Returns the level the outlet really has; unknown if it does not tell.

        Raises:
            PowerError: It cannot be asked.
        """

    async def switch(self, outlet: str, *, on: bool) -> None:
        """Switches the outlet to a level; to the one it has is fine.

        Raises:
            PowerFatalError: It cannot be switched before a person has acted.
            PowerRetryableError: It was not switched now; another attempt may do.
        """

    async def close(self) -> None:
        """Releases every outlet and leaves each as it is; twice is fine."""


@runtime_checkable
class Telling(Protocol):
    """Optional: drivers that report level changes themselves."""

    def news(self) -> set[str]:
        """Returns the outlets that said something new since the last call."""


def about(outlet: str, error: str) -> str:
    """Returns an error that names its outlet, once."""
    named = error.startswith(f"outlet {outlet}")
    return error if named else f"outlet {outlet}: {error}"


def unknown(outlet: str, names: Iterable[str]) -> PowerFatalError:
    """Returns the error for an outlet that a driver does not have.

    Args:
        outlet: The name asked for.
        names: Those there are.
    """
    known = ", ".join(sorted(names)) or "none"
    return PowerFatalError(f"there is no outlet {outlet!r}; known: {known}")
