"""What is asked of an outlet, and how far on its way it is."""

import enum


class Action(enum.StrEnum):
    """What is asked of an outlet."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"


class Step(enum.StrEnum):
    """How far it is.

    ``off`` goes from looking to cutting, ``on`` from resting to booting, ``cycle``
    from one end to the other.
    """

    PLANNED = "planned"
    """Waits until every board was judged, then begins to stop them."""
    LOOKING = "looking"
    """Its boards are pinged and judged; none is told anything yet."""
    STOPPING = "stopping"
    """Boards were told to shut down, and are not all proven down."""
    SETTLING = "settling"
    """All are down; their cards finish."""
    CUTTING = "cutting"
    """The wanted state is on disk, and the outlet is being switched off."""
    RESTING = "resting"
    """Off, until it was so for long enough and its turn has come."""
    FEEDING = "feeding"
    """The wanted state is on disk, and the outlet is being switched on."""
    BOOTING = "booting"
    """On; the boards are not all back."""
    ENDED = "ended"
