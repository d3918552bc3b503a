"""What keeps boards from answering and is no fault of theirs; pure."""

from collections.abc import Iterator

from provisioning.run.messages import Effect
from provisioning.run.state import Run
from provisioning.run.turns import Outcome, trouble


def named(run: Run, error: str) -> Outcome:
    """Name it, for boards that did not come up.

    Args:
        run: At the end of its patience.
        error: Why nobody could be asked at last; empty: everybody was.
    """
    said: tuple[Effect, ...] = ()
    for text in _reasons(run, error):
        run, more = trouble(run, text)
        said += more
    return run, said


def _reasons(run: Run, error: str) -> Iterator[str]:
    if error:
        yield (
            f"nobody could be asked on the network at last: {error}; boards that are "
            "told as missing may be up"
        )
    if run.outage_at is not None:
        yield (
            "the DHCP server is away: boards that are told as missing may only lack "
            "an address; `pirack doctor` looks why"
        )
