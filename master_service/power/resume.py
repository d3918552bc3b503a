"""What a restart makes of an outlet that was under way; pure.

See ``docs/decisions/resume-or-report.md``: what brings power back goes on, a cut that
had not happened never happens, and nothing is passed over in silence.
"""

from broker.messages import Power
from master_service.commands.effects import Commit, Effects, Moment, Persist
from master_service.power.job import Job
from master_service.power.steps import Action, Step
from master_service.settings import Settings

RESTARTED = "the master was restarted before the cut"
BLIND = "the master was restarted at the cut, and the outlet does not tell its level"


def take_up(job: Job, step: Step, settings: Settings, at: Moment) -> Effects:
    """Go on with an outlet, or report that it was interrupted.

    Args:
        job: The outlet, whose level was read back by now.
        step: How far it was.
        settings: The master's.
        at: This moment.
    """
    match step:
        case Step.ENDED:
            job.step = Step.ENDED
            return []
        case Step.RESTING | Step.FEEDING | Step.BOOTING:
            return _bring_back(job, settings, at)
        case Step.CUTTING if job.fed.level is not Power.ON:
            return _after_cut(job, settings, at)
        case _:
            return _report(job, at)


def _after_cut(job: Job, settings: Settings, at: Moment) -> Effects:
    """Go on from a cut that happened just now, or that nobody can tell."""
    job.fed.changed = at.wall
    if job.action is Action.CYCLE:
        return _bring_back(job, settings, at)
    if job.fed.level is Power.OFF:
        return job.is_off(at.now)
    return job.abandon(BLIND, at.now)


def _bring_back(job: Job, settings: Settings, at: Moment) -> Effects:
    """Bring power back, or wait for the boards if it is back."""
    if job.fed.level is Power.ON:
        job.fed.wanted = Power.ON
        return [Persist(job.fed.record()), *job.feed(settings, at.now)]
    job.rest(settings, at)
    return []


def _report(job: Job, at: Moment) -> Effects:
    """Say that it was interrupted; what is wanted is again what was before."""
    job.fed.wanted = job.before
    ended = job.abandon(RESTARTED, at.now)
    return [Persist(job.fed.record()), *ended, Commit()]
