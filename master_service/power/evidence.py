"""Whether a board may lose its power, from everything that is known about it; pure.

Power commands, ``shutdown``, install runs and self-healing decide by this one function.
``tests/master_service/test_evidence.py`` is the table of cases.

A board is down when it said goodbye with a reason and then fell silent by a ping that
it had answered before in the same boot, or when its outlet reads off. A board that is
lost, without power as far as the master can tell, never heard, or that never answered a
ping is not down: it may be running behind a dead switch or a firewall.
"""

from collections.abc import Iterable

import msgspec

from broker.contract.messages import Askable, Power, Status, Verdict
from broker.contract.verbs import Verb
from master_service.presence.availability import inability, reachable
from master_service.presence.identity import DUPLICATE_ID
from master_service.presence.rack import Rack
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.layout import FoundBoard
from master_service.rack.node import NEVER, PingState, RackNode
from master_service.rack.outlet_state import OutletState

FRESH_S = 5.0
"""A ping without answer is evidence for so long, in seconds; then ask once more."""

NO_PROOF = "nothing would prove that it went down"


class PowerFacts(msgspec.Struct, frozen=True, kw_only=True):
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
    probe: PingState = PingState.UNASKED
    probe_at: float = 0.0
    probe_note: str = ""
    stop_s: float = 90.0
    absence: str = ""


class CutRuling(msgspec.Struct, frozen=True):
    """Whether a board may lose its power.

    Args:
        askable: In one word.
        why: The evidence that it is down, or why it cannot be asked to shut down.
        ping: A ping now may change this.
    """

    askable: Askable
    why: str = ""
    ping: bool = False


def rule(facts: PowerFacts) -> CutRuling:
    """Returns whether a board is down, or must or cannot be asked to shut down."""
    if facts.outlet is Power.OFF and not facts.reachable:
        return _unpowered(facts)
    if facts.doubled:
        return CutRuling(Askable.CANNOT_BE_ASKED, facts.doubled)
    if facts.reachable:
        return _running(facts)
    if not facts.heard:
        return _never_heard(facts)
    if facts.left_at is None or not facts.goodbye:
        return CutRuling(
            Askable.CANNOT_BE_ASKED, facts.absence or "its agent is silent"
        )
    return _left(facts)


def _running(facts: PowerFacts) -> CutRuling:
    """Rules on a board that could be told to shut down.

    If it does not answer pings, nothing would show when it has: its agent ends seconds
    after the order, its services may take a minute more.
    """
    if facts.unable:
        return CutRuling(Askable.CANNOT_BE_ASKED, facts.unable)
    if facts.answers_ping is None:
        return CutRuling(Askable.MUST_BE_ASKED, ping=True)
    if facts.answers_ping and not _fresh(
        facts, PingState.SILENT, PingState.UNAVAILABLE
    ):
        return CutRuling(Askable.MUST_BE_ASKED)
    return CutRuling(Askable.CANNOT_BE_ASKED, f"{NO_PROOF}: {_mute(facts)}", ping=True)


def _unpowered(facts: PowerFacts) -> CutRuling:
    came = -float("inf") if facts.outlet_at is None else facts.outlet_at
    if facts.probe is PingState.ANSWERED and facts.probe_at > came:
        why = "it answers ping although its outlet reads off; check the wiring"
        return CutRuling(Askable.CANNOT_BE_ASKED, why, ping=True)
    return CutRuling(Askable.DOWN, "its outlet reads off")


def _never_heard(facts: PowerFacts) -> CutRuling:
    if not facts.known_as:
        return CutRuling(Askable.NO_BOARD)
    why = f"no agent of it was ever heard ({facts.known_as})"
    return CutRuling(Askable.CANNOT_BE_ASKED, why)


def _left(facts: PowerFacts) -> CutRuling:
    """Rules on a board whose agent said goodbye: was it the board that went down?"""
    left_at = facts.left_at or 0.0
    left = f"it left: {facts.goodbye}"
    why, ping = _runs_on(facts, left_at), False
    if not why and not facts.answers_ping:
        why = f"but its silence proves nothing: {_mute(facts)}"
    elif not why:
        why, ping = _not_silent(facts, left_at), True
    if why:
        return CutRuling(Askable.CANNOT_BE_ASKED, f"{left}; {why}", ping=ping)
    return CutRuling(Askable.DOWN, f"{left}, and does not answer ping any more")


def _runs_on(facts: PowerFacts, left_at: float) -> str:
    """Returns why a board that said goodbye may be up or booting; empty: no sign."""
    if facts.left_for:
        return f"it was told to {facts.left_for}, and may be booting"
    if facts.outlet_at is not None and facts.outlet_at > left_at:
        return "its outlet came on after that, and it may be booting"
    answered_at = facts.answered_at
    if answered_at is not None and answered_at > left_at + facts.stop_s:
        after_s = answered_at - left_at
        return f"but the board ran on: it answered ping {after_s:.0f} s later"
    return ""


def _not_silent(facts: PowerFacts, left_at: float) -> str:
    """Returns why its silence is not seen now; empty: it is."""
    asked = facts.probe is not PingState.UNASKED and facts.probe_at >= left_at
    if not asked or facts.now - facts.probe_at > FRESH_S:
        return "it was not pinged since"
    if facts.probe is PingState.ANSWERED:
        return "but the board answers ping"
    if facts.probe is PingState.UNAVAILABLE:
        return f"it cannot be pinged now: {facts.probe_note}"
    return ""


def _fresh(facts: PowerFacts, *probes: PingState) -> bool:
    """Returns whether the last ping is fresh and found one of these."""
    return facts.probe in probes and facts.now - facts.probe_at <= FRESH_S


def _mute(facts: PowerFacts) -> str:
    if facts.probe is PingState.UNAVAILABLE:
        return f"it cannot be pinged: {facts.probe_note}"
    if facts.answers_ping:
        return "it answered pings in this boot, and does not answer ping now"
    return "it did not answer a ping since it booted"


def ruling(rack: Rack, node: RackNode, now: float) -> CutRuling:
    """Returns whether a board is down, or must or cannot be asked to shut down.

    Args:
        now: Monotonic seconds; how fresh a ping must be is counted from then.
    """
    left = node.status is Status.OFFLINE and node.status_at >= (node.heard_at or -NEVER)
    return rule(
        msgspec.structs.replace(
            _supply(rack.panel.of_node(node), now),
            heard=node.known,
            known_as=_known_as(rack, node),
            reachable=reachable(node),
            unable=inability(node, Verb.SHUTDOWN.value, ()),
            doubled=node.faults.get(DUPLICATE_ID, ""),
            goodbye=node.goodbye if left else "",
            left_at=node.status_at if left else None,
            left_for=_left_for(node),
            answers_ping=node.answers_ping,
            answered_at=node.pings.answered_at,
            probe=node.probe,
            probe_at=node.probe_at,
            probe_note=node.probe_note,
            stop_s=rack.settings.master.stop_s,
            absence=f"{node.verdict}: {node.reason}",
        )
    )


def is_down(rack: Rack, node: RackNode, now: float) -> bool:
    """Returns whether there is evidence that a board is down."""
    return ruling(rack, node, now).askable is Askable.DOWN


def note_halted(rack: Rack, run: CommandRun, row: CommandRow, now: float) -> None:
    """Notes that the board of a row was shut down by a command."""
    row.down_at = now
    if row.node is not None:
        rack.tracker.halted(row.node, run.asked.command.by, now)


def latest_ruling(rack: Rack, node: RackNode) -> CutRuling:
    """Returns the same by the last ping, however old it is.

    It is what people are shown: a command pings once more before it cuts.
    """
    now = node.probe_at if node.status is Status.OFFLINE else NEVER
    return ruling(rack, node, now)


def unasked(
    rack: Rack, outlets: list[OutletState], nodes: Iterable[RackNode]
) -> dict[str, str]:
    """Returns the boards on some outlets that cannot be asked to shut down, and why.

    Args:
        nodes: The nodes that they feed.

    Returns:
        Why not, by display name, or by the name of the slot for a board without an
        agent.
    """
    rulings = [(node.name, latest_ruling(rack, node)) for node in nodes]
    rulings += [
        (board.name, found_ruling(outlet, board, 0.0))
        for outlet, board in found(rack, outlets)
    ]
    return {
        name: ruled.why
        for name, ruled in rulings
        if ruled.askable is Askable.CANNOT_BE_ASKED
    }


def found_ruling(outlet: OutletState, board: FoundBoard, now: float) -> CutRuling:
    """Returns the same of a board that was found and has no agent yet.

    Args:
        outlet: The outlet that feeds it.
    """
    facts = _supply(outlet, now)
    known_as = f"MAC {board.mac}, {board.address}" if board.mac else board.name
    return rule(msgspec.structs.replace(facts, heard=False, known_as=known_as))


def found(
    rack: Rack, outlets: Iterable[OutletState]
) -> list[tuple[OutletState, FoundBoard]]:
    """Returns the boards of some outlets that are no nodes: no agent of them was heard.

    An install run found them, or the outlet names them by their id. A node of which no
    details are known stands for the board found in its slot.
    """
    outlets = list(outlets)
    nodes = list(rack.registry.nodes.values())
    macs = {mac for node in nodes for mac in _macs(node)}
    mute = {(node.stack, node.slot) for node in nodes if node.details is None}
    by_stack = {
        outlet.row.stack: outlet for outlet in outlets if outlet.row.stack is not None
    }
    gone = rack.registry.nodes.keys() | rack.registry.tombstones
    listed = [
        (outlet, FoundBoard("", node_id, outlet.row.stack or 0, 0, ""))
        for outlet in outlets
        for node_id in outlet.row.nodes
        if node_id not in gone
    ]
    return listed + [
        (by_stack[board.stack], board)
        for board in rack.found
        if board.stack in by_stack
        and board.mac not in macs
        and (board.stack, board.slot) not in mute
    ]


def row_ruling(
    rack: Rack, outlet: OutletState, row: CommandRow, now: float
) -> CutRuling | None:
    """Returns the same for a row of a power command; None if it is of an outlet alone.

    Args:
        outlet: The outlet that feeds its board.
    """
    if row.node is not None:
        return ruling(rack, row.node, now)
    return None if row.found is None else found_ruling(outlet, row.found, now)


def came_back(node: RackNode, since: float) -> bool:
    """Returns whether a board gave a sign of life after it counted as down.

    Args:
        since: When it counted as down, monotonic seconds.
    """
    spoke = node.heard_at is not None and node.heard_at > since
    answered = node.pings.answered_at is not None and node.pings.answered_at > since
    return spoke or answered or reachable(node)


def cannot_come(node: RackNode, level: Power) -> str:
    """Returns why switching on does not bring a board back; empty if it may."""
    if not node.halted_by or level is not Power.ON:
        return ""
    return (
        f"its outlet is on, but it was shut down by {node.halted_by}; "
        "`power cycle` brings it back"
    )


def came(row: CommandRow, *, rebooted: bool) -> bool:
    """Returns whether a board speaks.

    Args:
        row: Its row, with the boot it ran before.
        rebooted: It must be another boot than that.
    """
    node = row.node
    if node is None or node.verdict is not Verdict.ONLINE or not node.boot_id:
        return False
    return not rebooted or node.boot_id != row.boot_id


def _supply(outlet: OutletState | None, now: float) -> PowerFacts:
    """Returns what is known of a board's outlet: a level on disk is not a reading."""
    if outlet is None:
        return PowerFacts(now=now)
    level = outlet.level if outlet.read else Power.UNKNOWN
    return PowerFacts(now=now, outlet=level, outlet_at=outlet.since)


def _left_for(node: RackNode) -> str:
    """Returns what a board left for, if its agent comes back after that by itself."""
    boot_id, verb = node.pings.left_for
    return verb if boot_id and boot_id == node.boot_id else ""


def _known_as(rack: Rack, node: RackNode) -> str:
    """Returns what shows that a node that was never heard is a board."""
    place = node.stack, node.slot
    found = (one for one in rack.found if (one.stack, one.slot) == place)
    board = next(found, None) if node.stack is not None else None
    return f"MAC {board.mac}, {board.address}" if board else f"node {node.id}"


def _macs(node: RackNode) -> set[str]:
    said = node.details.macs if node.details is not None else ()
    return {mac.lower() for mac in said}
