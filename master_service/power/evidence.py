"""Whether a board may lose its power, from everything that is known about it; pure.

Power commands, ``shutdown``, install runs and self-healing decide by this one function.
``tests/master_service/test_evidence.py`` is the table of cases.

A board is down when it said goodbye with a reason and then fell silent by a ping that
it had answered before in the same boot, or when its outlet reads off. A board that is
lost, without power as far as the master can tell, never heard, or that never answered a
ping is not down: it may be running behind a dead switch or a firewall.
"""

import msgspec

from broker.contract.messages import Askable, Power
from master_service.rack.node import Probe

FRESH_S = 5.0
"""A ping without answer is evidence for so long, in seconds; then ask once more."""

NO_PROOF = "nothing would prove that it went down"


class BoardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one board at one moment; times are monotonic seconds.

    Args:
        now: This moment.
        outlet: What its outlet read last; unknown if the last reading failed, or if the
            level is only the one on disk; None if no outlet feeds it.
        outlet_at: When that level came; None: before the master started.
        heard: Its agent was heard at some time, maybe before the master started.
        known_as: What else shows that there is a board: a node id, a MAC address; empty
            for an empty slot.
        reachable: Its agent can be given an order now.
        unable: Why it cannot carry out ``shutdown``; empty if it can.
        doubled: Why what is known may be that of another board; empty if it is not.
        goodbye: The reason its agent gave before it went offline; empty if it went
            without one, or is online.
        left_at: When it went offline; None: it is online as far as is known.
        left_for: What it was told to leave for, if it comes back after that by itself:
            ``reboot`` or ``restart-agent``.
        answers_ping: Whether it answered a ping in this boot; None: not asked in it.
        answered_at: When it last answered a ping; None: not since the master started.
        probe: What the last ping found.
        probe_at: When.
        probe_note: Why it could not be pinged, if it could not.
        stop_s: Seconds a board may take to go down after its goodbye.
        absence: Why its agent cannot be asked, in words.
    """

    now: float
    outlet: Power | None = None
    outlet_at: float | None = None
    heard: bool = True
    known_as: str = ""
    reachable: bool = False
    unable: str = ""
    doubled: str = ""
    goodbye: str = ""
    left_at: float | None = None
    left_for: str = ""
    answers_ping: bool | None = None
    answered_at: float | None = None
    probe: Probe = Probe.UNASKED
    probe_at: float = 0.0
    probe_note: str = ""
    stop_s: float = 90.0
    absence: str = ""


class Ruling(msgspec.Struct, frozen=True):
    """Whether a board may lose its power.

    Args:
        askable: In one word.
        why: The evidence that it is down, or why it cannot be asked to shut down.
        ping: A ping now may change this.
    """

    askable: Askable
    why: str = ""
    ping: bool = False


def rule(facts: BoardFacts) -> Ruling:
    """Return whether a board is down, or must or cannot be asked to shut down."""
    if facts.outlet is Power.OFF and not facts.reachable:
        return _unpowered(facts)
    if facts.doubled:
        return Ruling(Askable.CANNOT_BE_ASKED, facts.doubled)
    if facts.reachable:
        return _running(facts)
    if not facts.heard:
        return _never_heard(facts)
    if facts.left_at is None or not facts.goodbye:
        return Ruling(Askable.CANNOT_BE_ASKED, facts.absence or "its agent is silent")
    return _left(facts)


def _running(facts: BoardFacts) -> Ruling:
    """Rule on a board that could be told to shut down.

    If it does not answer pings, nothing would show when it has: its agent ends seconds
    after the order, its services may take a minute more.
    """
    if facts.unable:
        return Ruling(Askable.CANNOT_BE_ASKED, facts.unable)
    if facts.answers_ping is None:
        return Ruling(Askable.MUST_BE_ASKED, ping=True)
    if facts.answers_ping and not _fresh(facts, Probe.SILENT, Probe.UNAVAILABLE):
        return Ruling(Askable.MUST_BE_ASKED)
    return Ruling(Askable.CANNOT_BE_ASKED, f"{NO_PROOF}: {_mute(facts)}", ping=True)


def _unpowered(facts: BoardFacts) -> Ruling:
    came = -float("inf") if facts.outlet_at is None else facts.outlet_at
    if facts.probe is Probe.ANSWERED and facts.probe_at > came:
        why = "it answers ping although its outlet reads off; check the wiring"
        return Ruling(Askable.CANNOT_BE_ASKED, why, ping=True)
    return Ruling(Askable.DOWN, "its outlet reads off")


def _never_heard(facts: BoardFacts) -> Ruling:
    if not facts.known_as:
        return Ruling(Askable.NO_BOARD)
    why = f"no agent of it was ever heard ({facts.known_as})"
    return Ruling(Askable.CANNOT_BE_ASKED, why)


def _left(facts: BoardFacts) -> Ruling:
    """Rule on a board whose agent said goodbye: was it the board that went down?"""
    left_at = facts.left_at or 0.0
    left = f"it left: {facts.goodbye}"
    why, ping = _runs_on(facts, left_at), False
    if not why and not facts.answers_ping:
        why = f"but its silence proves nothing: {_mute(facts)}"
    elif not why:
        why, ping = _not_silent(facts, left_at), True
    if why:
        return Ruling(Askable.CANNOT_BE_ASKED, f"{left}; {why}", ping=ping)
    return Ruling(Askable.DOWN, f"{left}, and does not answer ping any more")


def _runs_on(facts: BoardFacts, left_at: float) -> str:
    """Says why a board that said goodbye may run or boot; empty: nothing shows it."""
    if facts.left_for:
        return f"it was told to {facts.left_for}, and may be booting"
    if facts.outlet_at is not None and facts.outlet_at > left_at:
        return "its outlet came on after that, and it may be booting"
    answered_at = facts.answered_at
    if answered_at is not None and answered_at > left_at + facts.stop_s:
        after_s = answered_at - left_at
        return f"but the board ran on: it answered ping {after_s:.0f} s later"
    return ""


def _not_silent(facts: BoardFacts, left_at: float) -> str:
    """Says why its silence is not seen now; empty: it is."""
    asked = facts.probe is not Probe.UNASKED and facts.probe_at >= left_at
    if not asked or facts.now - facts.probe_at > FRESH_S:
        return "it was not pinged since"
    if facts.probe is Probe.ANSWERED:
        return "but the board answers ping"
    if facts.probe is Probe.UNAVAILABLE:
        return f"it cannot be pinged now: {facts.probe_note}"
    return ""


def _fresh(facts: BoardFacts, *probes: Probe) -> bool:
    """Whether the last ping is fresh and found one of these."""
    return facts.probe in probes and facts.now - facts.probe_at <= FRESH_S


def _mute(facts: BoardFacts) -> str:
    if facts.probe is Probe.UNAVAILABLE:
        return f"it cannot be pinged: {facts.probe_note}"
    if facts.answers_ping:
        return "it answered pings in this boot, and does not answer ping now"
    return "it did not answer a ping since it booted"
