"""What a board's life and its faults come to, as a pure function."""

from collections.abc import Collection

import msgspec

from node_agent.simulator.faults import Fault
from node_agent.simulator.gate import Valve
from node_agent.simulator.life import Life, Phase


class Condition(msgspec.Struct, frozen=True):
    """What the world sees of a board.

    Args:
        agent: Whether its agent runs, or hangs, or is frozen; false when it died.
        valve: What comes through of what the agent says and hears.
        echo: Whether the board answers a ping.
    """

    agent: bool
    valve: Valve
    echo: bool


def condition(life: Life, faults: Collection[Fault]) -> Condition:
    """Return what a board in this life with these faults shows."""
    running = life.phase is Phase.RUNNING
    silent = Fault.FREEZE in faults or Fault.NETWORK_CUT in faults
    return Condition(
        agent=running and Fault.CRASH not in faults,
        valve=_valve(faults, silent=silent),
        echo=running and not silent,
    )


def _valve(faults: Collection[Fault], *, silent: bool) -> Valve:
    if silent:
        return Valve.SILENT
    return Valve.DEAF if Fault.HANG in faults else Valve.OPEN
