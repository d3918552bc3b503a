"""What a restart makes of an outlet that was under way; pure.

See ``docs/decisions/resume-or-report.md``: what brings power back goes on, a cut that
had not happened never happens, and nothing is passed over in silence.
"""

from broker.contract.messages import Power
from master_service.commands.effects import Effects
from master_service.power.job import Job
from master_service.power.steps import Action, Step
from master_service.power.switching import ATTEMPTS
from master_service.rack.settings import OutletRow, Settings
from master_service.rack.times import Moment


def take_up(job: Job, step: Step, settings: Settings, at: Moment) -> Effects:
    """Go on with an outlet, or report that it was interrupted.

    Args:
        job: The outlet, which was read by now if it answers.
        step: How far it was.
        settings: The master's.
        at: This moment.
    """
    match step:
        case Step.ENDED:
            job.step = Step.ENDED
            return []
        case Step.RESTING | Step.FEEDING | Step.BOOTING:
            return job.bring_back(settings, at)
        case Step.CUTTING:
            return _at_the_cut(job, settings, at)
        case _:
            return job.interrupted(at.now)


def in_flight_s(row: OutletRow) -> float:
    """Return how long an outlet may take for what it was told, seconds.

    A plug, or what a program talks to, may still do what a master told it that was
    killed since: one attempt after the other. A pin moves at once.
    """
    if row.commands is not None:
        return ATTEMPTS * row.commands.timeout_s
    return 0.0 if row.plug is None else ATTEMPTS * row.plug.timeout_s


def _at_the_cut(job: Job, settings: Settings, at: Moment) -> Effects:
    seconds = in_flight_s(job.fed.row)
    if job.action is Action.CYCLE:
        # A cycle wants on, also where an older master wrote down "off" for its cut.
        job.fed.want(Power.ON, owed=True)
    if seconds or not job.fed.read:
        job.look_again(seconds, at)
        return []
    if job.fed.level is Power.ON:
        return job.interrupted(at.now)
    return job.after_cut(settings, at)
