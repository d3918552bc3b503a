"""Cancelling an outlet that is under way; pure."""

from master_service.commands.effects import Commit, Effects, Persist
from master_service.power.job import Job
from master_service.power.steps import Action, Step

_BEFORE_THE_CUT = frozenset({Step.PLANNED, Step.LOOKING, Step.STOPPING, Step.SETTLING})


def withdraw(job: Job, why: str, now: float) -> tuple[Effects, str]:
    """Stop a job where it can be stopped; boards are never left without power for it.

    Args:
        job: The outlet.
        why: Who cancelled it.
        now: Monotonic seconds.

    Returns:
        What is to be done, and why it goes on; empty if it does not.
    """
    waits = job.step is Step.RESTING and job.action is Action.ON
    if waits:
        # Also if it was owed: after a restart, or after an attempt that failed.
        job.fed.want(job.wanted)
        return [Persist(job.fed.record()), *job.abandon(why, now), Commit()], ""
    if job.step in _BEFORE_THE_CUT:
        return job.abandon(why, now), ""
    if job.action is Action.CYCLE:
        return [], "its power was cut already, so it goes on until it is back"
    return [], f"its outlet is {job.step} already, so it goes on"
