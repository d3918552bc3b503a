"""Another DHCP server on the rack's network while a run is under way; pure."""

from broker.contract.messages import InstallStep
from provisioning.common.network import ForeignServer
from provisioning.run import finish, words
from provisioning.run.messages import Effect, Search, Searched
from provisioning.run.state import Run
from provisioning.run.turns import Outcome, trouble

_STOPS = frozenset(
    {
        InstallStep.CONFIRM,
        InstallStep.ALL_OFF,
        InstallStep.BASELINE,
        InstallStep.SCAN,
        InstallStep.COMMIT,
    }
)
"""Who is heard then may have lent the addresses by which boards are judged."""

_TOLD = frozenset({InstallStep.VERIFY, InstallStep.RESTORE})
"""Every board has its place: there is nothing left to keep from going wrong."""


def search(run: Run) -> tuple[Effect, ...]:
    """Ask who else serves DHCP, where that would be somebody who should not."""
    return (Search(),) if run.params.reserves else ()


def searched(run: Run, message: Searched, now: float) -> Outcome:
    """Take what a search found; one that failed costs no more than a word."""
    if message.error and run.step in _STOPS | _TOLD:
        return trouble(run, words.unsearched(message.error))
    said: tuple[Effect, ...] = ()
    for server in message.servers:
        run, effects = heard(run, server, now)
        said += effects
    return run, said


def heard(run: Run, server: ForeignServer, now: float) -> Outcome:
    """End the run for a server that is not ours, unless it is forced or observes.

    In the checks before a run nothing is done: they ask for themselves.
    """
    if not run.params.reserves or run.step not in _STOPS | _TOLD:
        return run, ()
    text = words.rival(server.address, server.mac)
    if run.params.force or run.step in _TOLD:
        return trouble(run, text)
    return finish.fail(run, now, text)
