"""What a run shows of itself, on ``P/install/state``; pure."""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import InstallState, InstallStep, InstallVerdict
from provisioning.run import words
from provisioning.run.state import Run

MAX_PROBLEMS = 40
"""Sentences a person may want to read at once."""

PROBLEM_BYTES, FORECAST_BYTES = 8192, 4096
"""What of a message of 16 KiB is theirs, with room to spare for all else."""

MAX_SENTENCE = 1500
"""Characters of one sentence: a server's own words may go on for pages."""

_SCANNING = frozenset({InstallStep.SCAN, InstallStep.COMMIT})
_AFTER = frozenset({InstallStep.VERIFY, InstallStep.DONE, InstallStep.PROBLEMS})


def progress(run: Run) -> InstallState:
    """Return what anybody may see of a run."""
    return InstallState(
        run=run.id,
        step=run.step,
        only=run.params.only,
        dry=run.params.dry,
        by=run.params.by,
        stack=run.settling or (run.stack.number if run.step in _SCANNING else None),
        done=_done(run),
        total=run.boards,
        problems=_capped(_problems(run), PROBLEM_BYTES),
        verdicts=_verdicts(run),
        forecast=_capped(run.forecast, FORECAST_BYTES),
        eta_s=_eta_s(run),
    )


def _done(run: Run) -> int:
    """Count boards: who was found; at the end, who answers at its address."""
    if run.step in _AFTER:
        return len(run.verified)
    placed = sum(
        1
        for place in run.places
        if place.stack in run.scanned
        and place.mac
        and place.verdict is InstallVerdict.OK
    )
    return placed + (len(run.seen) if run.step is InstallStep.SCAN else 0)


def _problems(run: Run) -> tuple[str, ...]:
    return run.problems + tuple(finding.text for finding in run.findings)


def _capped(texts: Iterable[str], size_bytes: int) -> tuple[str, ...]:
    """Return as many sentences as fit, and how many more there are."""
    texts = [_short(text) for text in texts]
    kept: list[str] = []
    for text in texts[:MAX_PROBLEMS]:
        size_bytes -= len(msgspec.json.encode(text)) + 1
        if size_bytes < 0:
            break
        kept.append(text)
    more = len(texts) - len(kept)
    last = (f"and {more} more; all are in the history",) if more else ()
    return (*kept, *last)


def _short(text: str) -> str:
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"


def _verdicts(run: Run) -> dict[InstallVerdict, int]:
    """Count the findings by verdict, and the boards that are well."""
    counts = {InstallVerdict.OK: _done(run)}
    for finding in run.findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    return counts


def _eta_s(run: Run) -> float | None:
    """Guess the seconds that are left; None once it is over or waits for a word."""
    if run.over or run.step in {InstallStep.CONFIRM, InstallStep.RESTORE}:
        return None
    if run.step in _AFTER or run.settling:
        return round(run.boot_s + words.MOVE_S)
    left = len(run.params.stacks) - run.position
    return round(words.estimate_s(run, left))
