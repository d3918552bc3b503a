"""One verdict for each board, from everything that is known about it; pure.

Relay, status, silence, ping and pending command are joined here and nowhere else.
``tests/master_service/test_presence.py`` is the table of cases.
"""

import msgspec

from broker.contract.messages import Power, Status, Verdict
from broker.contract.verbs import Verb
from master_service.rack.node import NEVER, Pending, PingState
from master_service.rack.outlet_state import Outlet

LATE_INTERVALS = 2.0
"""Silence, in heartbeat intervals, after which a node is late."""
GONE_INTERVALS = 3.0
"""Silence, in heartbeat intervals, after which the ping decides: hung or lost."""
PROBE_PATIENCE_S = 2.0
"""Seconds a probe may take before silence alone decides."""
BOOT_MARGIN = 2.0
"""A board may take this many times the boot time it was seen to need."""
_CHECK = "no power or no network: check supply, switch and cable"
_NO_VITALS = "connected, no vitals"
_ASKED = {
    Verb.REBOOT: (Verdict.REBOOTING, "for another boot id"),
    Verb.SHUTDOWN: (Verdict.STOPPING, "until it is down"),
    Verb.RESTART_AGENT: (Verdict.LATE, "for its agent to connect again"),
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one node at one moment; times are monotonic seconds.

    Args:
        now: This moment.
        interval_s: Seconds between its heartbeats.
        before: The verdict it had.
        before_at: When that verdict was found.
        link_down: The master has no broker.
        back_at: When the broker or the master came back.
        grace_until: End of the grace that began then.
        trusted_at: From when on a stored ``offline`` tells of now: it is clear that the
            broker has been up for longer than boards need to connect again.
        known: It was heard at some time, maybe before the master started.
        heard_at: When it was last heard; None: not since the master started.
        status: The last word on its status topic.
        status_at: When that arrived.
        no_vitals: Its last heartbeat told nothing but its uptime.
        link_answers: It was declared dead, and its connection denied that and is up.
        goodbye: The reason it gave before it went offline; empty: it gave none.
        probe: What the board answered last.
        probe_at: When.
        probe_note: Why it cannot be probed, when it cannot.
        outlet: Its supply; None where none is known.
        pending: What was asked of it and is under way.
        halted_by: Who had it shut down, with proof; empty: nobody.
        boot_s: Seconds it needs to boot, as learnt.
        together: Boards that fell silent as one, itself included; 0: a mate lives.
        shares: What those share: ``stack``, or an ``outlet`` of a part of it.
    """

    now: float
    interval_s: float = 10.0
    before: Verdict = Verdict.UNSEEN
    before_at: float = 0.0
    link_down: bool = False
    back_at: float = 0.0
    grace_until: float = 0.0
    trusted_at: float = NEVER
    known: bool = False
    heard_at: float | None = None
    status: Status | None = None
    status_at: float = 0.0
    no_vitals: bool = False
    link_answers: bool = False
    goodbye: str = ""
    probe: PingState = PingState.UNASKED
    probe_at: float = 0.0
    probe_note: str = ""
    outlet: Outlet | None = None
    pending: Pending | None = None
    halted_by: str = ""
    boot_s: float = 120.0
    together: int = 0
    shares: str = "stack"


class Judgement(msgspec.Struct, frozen=True):
    """A verdict and what follows from it.

    Args:
        reason: In words a person can act on; empty where there is nothing to say.
        until: Monotonic second at which time alone may change it.
        ask: Whether the board should be probed.
    """

    verdict: Verdict
    reason: str = ""
    until: float = NEVER
    ask: bool = False


def judge(facts: Facts) -> Judgement:
    """Returns the verdict on one board."""
    if facts.link_down:
        return Judgement(
            facts.before, "frozen: the master has no connection to a broker"
        )
    plain = _asked_for(facts) or _switched_off(facts) or _talking(facts)
    return plain or _coming(facts) or _silent(facts)


def talking(facts: Facts) -> bool:
    """Returns whether it was heard less than two intervals ago and did not leave."""
    return (
        facts.heard_at is not None
        and facts.now - facts.heard_at < LATE_INTERVALS * facts.interval_s
        and not _left(facts)
    )


def _left(facts: Facts) -> bool:
    """Returns whether ``offline`` was heard last: a later heartbeat outweighs it."""
    return facts.status is Status.OFFLINE and (
        facts.heard_at is None or facts.status_at >= facts.heard_at
    )


def _asked_for(facts: Facts) -> Judgement | None:
    pending = facts.pending
    if pending is None or facts.now >= pending.deadline:
        return None
    if pending.verb is Verb.RESTART_AGENT and talking(facts):
        return None
    verdict, awaited = _ASKED[pending.verb]
    by = f" by {pending.by}" if pending.by else ""
    reason = f"{pending.verb} asked{by}; waiting {awaited}"
    ask = verdict is Verdict.STOPPING and _left(facts)
    return Judgement(verdict, reason, pending.deadline, ask=ask)


def _switched_off(facts: Facts) -> Judgement | None:
    outlet = facts.outlet
    if outlet is None or outlet.level is not Power.OFF or _heard_after(facts, outlet):
        return None
    if outlet.wanted is Power.OFF:
        return Judgement(Verdict.OFF, "its outlet is off")
    reason = "its outlet reads off although it should be on; check the relay"
    return Judgement(Verdict.UNPOWERED, reason)


def _heard_after(facts: Facts, outlet: Outlet) -> bool:
    """Returns whether it speaks though its outlet has been off longer than a beat."""
    since = outlet.since if outlet.since is not None else -NEVER
    return (
        talking(facts)
        and facts.heard_at is not None
        and facts.heard_at > since + facts.interval_s
    )


def _talking(facts: Facts) -> Judgement | None:
    if not talking(facts) or facts.heard_at is None:
        return None
    reason = _NO_VITALS if facts.no_vitals else ""
    outlet = facts.outlet
    if outlet is not None and outlet.level is Power.OFF:
        reason = "it speaks although its outlet reads off; check the wiring"
    elif outlet is not None and (outlet.wanted, outlet.level) == (Power.OFF, Power.ON):
        reason = "its outlet should be off and reads on; check the relay"
    until = facts.heard_at + LATE_INTERVALS * facts.interval_s
    return Judgement(Verdict.ONLINE, reason, until)


def _coming(facts: Facts) -> Judgement | None:
    """Returns the verdict on a board that need not speak yet; None: it should."""
    on_since = _powered_since(facts)
    if on_since is not None:
        ready = on_since + BOOT_MARGIN * facts.boot_s
        if facts.now < ready:
            reason = f"power came; it may take {BOOT_MARGIN * facts.boot_s:.0f} s"
            return Judgement(Verdict.BOOTING, reason, ready)
    if facts.halted_by:
        reason = f"shut down by {facts.halted_by}; its outlet is not switched off"
        return Judgement(Verdict.OFF, reason)
    if not facts.known:
        return Judgement(Verdict.UNSEEN, "never heard")
    if facts.now < _excused_until(facts):
        reason = "the broker or the master just came back; not heard again yet"
        return Judgement(Verdict.UNKNOWN, reason, facts.grace_until)
    return None


def _powered_since(facts: Facts) -> float | None:
    """Returns when its outlet came on, if nothing was heard after that."""
    outlet = facts.outlet
    if outlet is None or outlet.level is not Power.ON or outlet.since is None:
        return None
    heard = facts.heard_at is not None and facts.heard_at > outlet.since
    return None if heard else outlet.since


def _excused_until(facts: Facts) -> float:
    """Returns until when its silence says nothing."""
    if _news(facts):
        return 0.0
    seen_to_go = _left(facts) and facts.now >= facts.trusted_at
    return facts.trusted_at if seen_to_go else facts.grace_until


def _news(facts: Facts) -> bool:
    """Returns whether it was heard since the broker is back."""
    return facts.heard_at is not None and facts.heard_at >= facts.back_at


def _silent(facts: Facts) -> Judgement:
    """Returns the verdict on a board that should speak and does not."""
    quiet = _quiet(facts)
    since = max(_silent_since(facts), _excused_until(facts))
    if not _left(facts) and facts.heard_at is not None:
        gone_at = facts.heard_at + GONE_INTERVALS * facts.interval_s
        if facts.now < gone_at:
            return Judgement(Verdict.LATE, quiet, gone_at, ask=True)
    asked = facts.probe is not PingState.UNASKED and facts.probe_at >= since
    if not asked and facts.now < since + PROBE_PATIENCE_S:
        verdict = facts.before if facts.before is Verdict.UNKNOWN else Verdict.LATE
        reason = f"{quiet}; asking the board itself"
        return Judgement(verdict, reason, since + PROBE_PATIENCE_S, ask=True)
    return _gone(facts, quiet, facts.probe if asked else PingState.UNASKED)


def _silent_since(facts: Facts) -> float:
    """Returns from when on its silence meant something."""
    if _left(facts):
        return facts.status_at
    if facts.heard_at is None:
        return facts.back_at
    return facts.heard_at + LATE_INTERVALS * facts.interval_s


def _gone(facts: Facts, quiet: str, probe: PingState) -> Judgement:
    if probe is PingState.ANSWERED:
        return _back_without_agent(facts) or Judgement(
            Verdict.HUNG, f"{quiet}, but the board answers ping", ask=True
        )
    if facts.link_answers:
        # Of an agent that cannot read its counters: the board has power and network.
        return Judgement(Verdict.HUNG, f"{_NO_VITALS}; {quiet}", ask=True)
    if facts.together > 1:
        return Judgement(Verdict.UNPOWERED, _supply(facts), ask=True)
    if probe is PingState.SILENT:
        return Judgement(Verdict.LOST, f"{quiet}, and no answer to ping", ask=True)
    why = facts.probe_note or "no probe was finished in time"
    return Judgement(Verdict.LOST, f"{quiet}; not pinged: {why}", ask=True)


def _back_without_agent(facts: Facts) -> Judgement | None:
    """Returns the verdict on a board that answers ping again before its agent."""
    if facts.before in {Verdict.LOST, Verdict.UNPOWERED}:
        began = facts.now
    elif facts.before is Verdict.BOOTING:
        began = facts.before_at
    else:
        return None
    patience_s = BOOT_MARGIN * facts.boot_s
    until = began + patience_s
    if facts.now >= until:
        return None
    reason = f"it answers ping again; its agent may take {patience_s:.0f} s"
    return Judgement(Verdict.BOOTING, reason, until, ask=True)


def _supply(facts: Facts) -> str:
    """Returns why a silence is that of the supply, and what the outlet reads."""
    boards = f"{facts.together} boards of its {facts.shares}"
    outlet = facts.outlet
    reads = f" while its outlet reads {outlet.level}" if outlet is not None else ""
    if _powered_since(facts) is not None:
        return f"power came, but none of the {boards} did; check the supply"
    if facts.heard_at is None:
        return f"none of the {boards} was heard again{reads}; {_CHECK}"
    return f"all {boards} fell silent together{reads}; {_CHECK}"


def _quiet(facts: Facts) -> str:
    """Returns how it is silent, without a running number: that changes every second."""
    if _left(facts):
        return f"it left: {facts.goodbye}" if facts.goodbye else "its connection broke"
    if facts.heard_at is None:
        return "not heard since the master started"
    return f"no heartbeat for more than {LATE_INTERVALS * facts.interval_s:.0f} s"
