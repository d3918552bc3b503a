"""The closed sets the page needs, each with its words; they stand in its head.

The page defines none of them again: what a value is comes from the contract, what a
person reads for it stands here.
"""

from typing import Any

import msgspec

from broker.contract.messages import (
    EventKind,
    InstallStep,
    InstallVerdict,
    Phase,
    ScanPhase,
    ThrottleFlag,
)
from broker.contract.verbs import ADMIN_VERBS, DESTRUCTIVE, WAVES, Verb
from dashboard.live import search
from dashboard.live.tile import State
from dashboard.server.users import PageRole

_STATES = {
    State.OK: "OK",
    State.WARN: "Warning",
    State.CRIT: "Critical",
    State.BUSY: "Busy",
    State.STALE: "Stale",
    State.OFFLINE: "Offline",
    State.OFF: "Off",
    State.UNSEEN: "Unseen",
    State.FROZEN: "Unknown",
}
_SEVERITY = (
    State.CRIT,
    State.OFFLINE,
    State.WARN,
    State.STALE,
    State.FROZEN,
    State.BUSY,
    State.UNSEEN,
    State.OFF,
    State.OK,
)
"""The worst first: what a stack shows of its boards."""
_FILTER_ORDER = (
    State.OK,
    State.BUSY,
    State.WARN,
    State.CRIT,
    State.STALE,
    State.OFFLINE,
    State.FROZEN,
    State.OFF,
    State.UNSEEN,
)
_KINDS = {
    EventKind.INCIDENT: ("Incidents", "incident"),
    EventKind.FAULT: ("Faults", "fault"),
    EventKind.COMMAND: ("Commands", "command"),
    EventKind.POWER: ("Power", "power"),
    EventKind.VERDICT: ("Verdicts", "verdict"),
    EventKind.REGISTRY: ("Boards", "board"),
    EventKind.SERVICE: ("Services", "service"),
    EventKind.HEAL: ("Self-healing", "self-healing"),
    EventKind.INSTALL: ("Install", "install"),
}
_PHASES = {Phase.ACCEPTED: "waiting"}
"""Where the word of the wire is not the word for a person."""


class VerbWords(msgspec.Struct, frozen=True):
    """What the page says of a verb, or of a word of ``power``.

    Args:
        label: On its button.
        icon: Name in components/icons.svg.
        note: Beside the button.
        doing: What a stack does meanwhile.
        consequence: What a person is told before boards are interrupted.
    """

    label: str
    icon: str
    note: str = ""
    doing: str = ""
    consequence: str = ""


_VERBS = {
    Verb.PING: VerbWords("Ping", "ping", "Ask the agent, else the network"),
    Verb.REFRESH: VerbWords("Refresh", "refresh", "Send everything again"),
    Verb.IDENTIFY: VerbWords("Identify", "identify", "Blink the activity LED"),
    "temperature": VerbWords("Temperature", "temperature", "Read the sensor now"),
    Verb.RESTART_AGENT: VerbWords("Restart agent", "reboot"),
    Verb.UPDATE: VerbWords(
        "Update",
        "update",
        doing="updating",
        consequence="The board's update command runs; the agent may restart.",
    ),
    Verb.REBOOT: VerbWords(
        "Reboot",
        "reboot",
        doing="rebooting",
        consequence="What runs there stops; a board is away for about a minute.",
    ),
    Verb.SHUTDOWN: VerbWords(
        "Shut down",
        "shutdown",
        doing="stopping",
        consequence=(
            "What runs there stops; a board stays off until its power is cycled."
        ),
    ),
    Verb.POWER: VerbWords("Power", "power", doing="switching"),
    Verb.INSTALL: VerbWords("Install", "install", doing="installing"),
    Verb.LOCK: VerbWords(
        "Reserve", "lock", "Refuse the destructive commands of others until a time"
    ),
    Verb.UNLOCK: VerbWords("Free", "unlock", "End the reservation"),
    Verb.CANCEL: VerbWords("Cancel", "close", "What has not begun never does"),
}
_POWER = {
    "on": VerbWords(
        "Power on",
        "power",
        consequence="The outlet is switched on; boards that were shut down start.",
    ),
    "cycle": VerbWords(
        "Power-cycle",
        "reboot",
        consequence=(
            "Every board is asked to shut down and seen to be down, then the outlet "
            "goes off and on again."
        ),
    ),
    "off": VerbWords(
        "Power off",
        "unplugged",
        consequence=(
            "Every board is asked to shut down and seen to be down, then the outlet "
            "is switched off."
        ),
    ),
}
_COMMON_VERBS = (Verb.PING, Verb.IDENTIFY, Verb.REFRESH, "temperature")
_LAST_VERBS = (Verb.UPDATE, Verb.REBOOT, Verb.SHUTDOWN)
_MASTER_VERBS = (Verb.PING, Verb.REFRESH, Verb.POWER, Verb.LOCK, Verb.UNLOCK)
"""Verbs that the master can do for every board, whatever its agent offers."""

_STAGES = (
    ("Check", (InstallStep.PREFLIGHT,)),
    ("Confirm", (InstallStep.CONFIRM,)),
    # CHECK, ALL_ON: of older masters
    (
        "Find",
        (
            InstallStep.ALL_OFF,
            InstallStep.BASELINE,
            InstallStep.SCAN,
            InstallStep.CHECK,
            InstallStep.COMMIT,
            InstallStep.ALL_ON,
        ),
    ),
    ("Verify", (InstallStep.VERIFY,)),
)
"""What a person follows, and the steps of the run in each."""
_INSTALL_STEPS = {
    InstallStep.PREFLIGHT: (
        "Checking before anything is switched",
        (
            "The DHCP server, the network, every planned address and every outlet. "
            "This takes a few seconds."
        ),
    ),
    InstallStep.CONFIRM: ("Waiting for your confirmation", ""),
    InstallStep.ALL_OFF: (
        "Switching off",
        (
            "Boards that answer are asked to shut down, and seen to be down, before"
            " their outlet is cut."
        ),
    ),
    InstallStep.BASELINE: (
        "Listening to the silence",
        "All stacks to be scanned are off: what talks now is not one of their boards.",
    ),
    InstallStep.SCAN: (
        "{Stack} is on, its boards are booting",
        "Each board appears below as soon as it asks for an address.",
    ),
    InstallStep.CHECK: (
        "{Stack} is off again, to be sure",
        "What still answers now is not a board of this stack.",
    ),
    InstallStep.COMMIT: (
        "Giving the boards of {stack} their places",
        (
            "The DHCP server is told; each board moves to its address when it asks "
            "for its lease again."
        ),
    ),
    InstallStep.ALL_ON: (
        "Switching the stacks on",
        "One after the other, so that the supply bears it.",
    ),
    InstallStep.VERIFY: (
        "Waiting for every board at its address",
        (
            "Boards move there when they ask for their lease again, within about a "
            "minute. A board counts as verified when it answers there, and no other "
            "device does."
        ),
    ),
    InstallStep.RESTORE: (
        "Ending early",
        "The outlets are switched to the level at which they are left.",
    ),
}
_INSTALL_ENDS = {
    InstallStep.DONE: (
        "Every board is in its place",
        "The run over {scope} is complete: each board answers at its own address.",
    ),
    InstallStep.PROBLEMS: (
        "Done, with {problems} left",
        (
            "The run over {scope} is complete. Boards without a problem work; each "
            "problem says what to do."
        ),
    ),
    InstallStep.FAILED: (
        "The run ended early",
        "What was found before keeps its place. The reason stands with the problems.",
    ),
    InstallStep.CANCELLED: (
        "The run was cancelled",
        "Boards that had a place by then keep it. A new run begins from the start.",
    ),
}
_BOARD_VERDICTS = {
    InstallVerdict.OK: ("verified", "verified"),
    InstallVerdict.MISSING: ("missing", "missing"),
    InstallVerdict.CONFLICT: ("trouble", "address in use"),
    InstallVerdict.IN_TWO_STACKS: ("trouble", "heard in two stacks"),
    InstallVerdict.OVERFULL: ("trouble", "without a slot"),
    InstallVerdict.FOREIGN: ("trouble", "not of the rack"),
}
_SCAN_PHASES = {
    ScanPhase.WAITING: ("waiting", "waits its turn"),
    ScanPhase.SCANNING: ("scanning", "being scanned"),
    ScanPhase.PLACED: ("placed", "placed"),
    ScanPhase.VERIFIED: ("verified", "all verified"),
    ScanPhase.PROBLEMS: ("trouble", "needs a look"),
    ScanPhase.UNTOUCHED: ("", ""),
}


def vocabulary() -> dict[str, Any]:
    """Returns the closed sets; components/types.d.ts declares their shape."""
    return {
        "states": [
            {"key": state.name.lower(), "label": _STATES[state]} for state in State
        ],
        "severity": _SEVERITY,
        "filterOrder": _FILTER_ORDER,
        "roles": [role.value for role in PageRole],
        "adminVerbs": sorted(ADMIN_VERBS),
        "destructive": sorted(verb.value for verb in DESTRUCTIVE),
        "waves": dict(WAVES),
        "verbs": _VERBS,
        "power": _POWER,
        "commonVerbs": _COMMON_VERBS,
        "lastVerbs": _LAST_VERBS,
        "masterVerbs": _MASTER_VERBS,
        "search": search.HELP,
        "phases": {
            phase.value: _PHASES.get(phase, phase.value.replace("-", " "))
            for phase in Phase
        },
        "phasesUnderWay": [phase.value for phase in Phase if not phase.final],
        "kinds": {
            kind.value: {"title": title, "label": label}
            for kind, (title, label) in _KINDS.items()
        },
        "throttleFlags": {
            flag.value: flag.value.replace("-", " ") for flag in ThrottleFlag
        },
        "install": {
            "over": [step.value for step in _INSTALL_ENDS],
            "stages": [{"name": name, "steps": steps} for name, steps in _STAGES],
            "steps": {step.value: said for step, said in _INSTALL_STEPS.items()},
            "ends": {step.value: said for step, said in _INSTALL_ENDS.items()},
            "verdicts": _marked(_BOARD_VERDICTS),
            "phases": _marked(_SCAN_PHASES),
        },
    }


def _marked(words: dict[Any, tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Returns mark and words by value."""
    return {
        str(key): {"mark": mark, "words": said} for key, (mark, said) in words.items()
    }
