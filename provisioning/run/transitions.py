"""The small changes that turns of a run are made of; pure."""

from broker.contract.messages import InstallStep
from provisioning.run.messages import Effect, HistoryLine
from provisioning.run.state import InstallFinding, InstallRun

Outcome = tuple[InstallRun, tuple[Effect, ...]]

MAX_TRIES = 3
"""Attempts at an action before it counts as impossible."""


def enter(
    run: InstallRun, step: InstallStep, wake: float, **changes: object
) -> InstallRun:
    """Returns the run at the start of a step.

    Args:
        wake: Monotonic second of its next ``Tick``.
        changes: Other fields that change with it.
    """
    fresh: dict[str, object] = {"tries": 0, "busy": False, "waiting": ()}
    return run.with_(step=step, turn=run.turn + 1, wake=wake, **{**fresh, **changes})


def found(run: InstallRun, *findings: InstallFinding) -> Outcome:
    """Returns the run with findings added, and lines of history about them."""
    new = tuple(finding for finding in findings if finding not in run.findings)
    said = tuple(HistoryLine(one.text, stack=one.stack, mac=one.mac) for one in new)
    return run.with_(findings=run.findings + new), said


def trouble(run: InstallRun, text: str) -> Outcome:
    """Returns the run with a problem added, and a line of history; only once."""
    if text in run.problems:
        return run, ()
    return run.with_(problems=(*run.problems, text)), (HistoryLine(text),)


def note(run: InstallRun, text: str) -> Outcome:
    """Returns the run as it is, and a line for the rack's history."""
    return run, (HistoryLine(text),)
