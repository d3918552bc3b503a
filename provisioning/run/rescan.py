"""The second scan of stacks that stayed ambiguous after all were scanned; pure.

The stack is cut for that, so its boards are shut down first. Where one cannot be asked,
nothing is cut, and a person is told which run over that stack alone would cut it.
"""

from broker.contract.messages import InstallStep, InstallVerdict
from provisioning.run import sightings, texts
from provisioning.run.state import InstallRun
from provisioning.run.transitions import Outcome, enter, found, note, trouble


def pending(run: InstallRun, unverified: tuple[int, ...]) -> int:
    """Returns the next stack to be scanned once more; 0: none.

    Args:
        unverified: Stacks with a board that did not come to its address.
    """
    wanted = {*_candidates(run), *run.again.values(), *unverified, *_silent(run)}
    wanted |= {
        f.stack or 0 for f in run.findings if f.verdict is InstallVerdict.OVERFULL
    }
    # A twin first: it disturbs the stack of the other one. Then those with room: where
    # a late board is found there, others need no scan.
    twins, room = set(run.again.values()), sightings.incomplete(run)
    order = sorted(wanted, key=lambda n: (n not in twins, n not in room, n))
    return next((n for n in order if n and _may(run, n)), 0)


def _may(run: InstallRun, stack: int) -> bool:
    return stack in run.scanned and stack in run.lit and stack not in run.settled


def _candidates(run: InstallRun) -> set[int]:
    """Returns the stacks in which boards that came late may be."""
    found: set[int] = set()
    for mac, asked in run.suspects.items():
        found |= {asked} if sightings.odd(run, mac) else set(sightings.incomplete(run))
    return found


def _silent(run: InstallRun) -> set[int]:
    """Returns the stacks with a known board that was not heard."""
    return {
        place.stack
        for place in run.places
        if place.mac and place.verdict is InstallVerdict.MISSING
    }


def begin(run: InstallRun, stack: int, now: float) -> Outcome:
    """Cuts one stack, to scan it once more."""
    position = [one.number for one in run.params.stacks].index(stack)
    run = run.with_(
        settling=stack,
        settled=(*run.settled, stack),
        position=position,
        elsewhere=(),
        swept=False,
        taken={},
    )
    run = enter(run, InstallStep.ALL_OFF, now, waiting=(stack,))
    return note(run, texts.settling(stack))


def refused(run: InstallRun, why: str, now: float) -> Outcome:
    """Leaves a stack that cannot be cut as it is, and goes on with verifying."""
    run, said = trouble(run, texts.unsettled(run.settling, why))
    # A board that was told to shut down comes back by a cut only, so this stays told.
    unsettled = (*run.unsettled, run.settling)
    run = run.with_(settling=0, cutting=(), unsettled=unsettled, until=now)
    return enter(run, InstallStep.VERIFY, now), said


def over(run: InstallRun) -> InstallRun:
    """Returns the run with the stack's new scan counted instead of the one before."""
    stack = run.stack.number
    seen = set(run.scanned.get(stack, ()))
    return run.with_(
        settling=0,
        suspects={m: n for m, n in run.suspects.items() if m not in seen},
        again={m: n for m, n in run.again.items() if n != stack},
    )


def forget(run: InstallRun) -> InstallRun:
    """Returns the run without what the scan before said about the stack."""
    stack = run.stack.number
    return run.with_(
        scanned={n: macs for n, macs in run.scanned.items() if n != stack},
        findings=tuple(f for f in run.findings if f.stack != stack),
        verified=(),
    )


def leftover(run: InstallRun) -> Outcome:
    """Names the boards that asked and could not be placed."""
    clear = all(n in run.settled and n not in run.unsettled for n in _candidates(run))
    named = sorted(run.suspects.items())
    return found(
        run,
        *(
            texts.late(mac, asked, certain=clear and mac in run.elsewhere)
            for mac, asked in named
        ),
    )
