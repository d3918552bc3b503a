"""What the master says of an install run; retained."""

import enum

import msgspec

from broker.contract.messages.codec import Count, Payload, Seconds, ShortText, Text


class InstallStep(enum.StrEnum):
    """What the install run is doing."""

    IDLE = "idle"
    """There was no run."""
    PREFLIGHT = "preflight"
    """Checking whether it may begin; nothing is switched."""
    CONFIRM = "confirm"
    """Waiting for a person who has read what will happen."""
    ALL_OFF = "all-off"
    """Switching the stacks off."""
    BASELINE = "baseline"
    """Listening while all of them are off: who talks now is foreign."""
    SCAN = "scan"
    """One more stack is on; its boards ask for addresses."""
    CHECK = "check"
    """Of older masters: the stack is off again; who still answers is foreign."""
    COMMIT = "commit"
    """Its boards have places; the DHCP server is told."""
    ALL_ON = "all-on"
    """Of older masters: switching the stacks on, one after the other."""
    VERIFY = "verify"
    """Each board must answer at its address, and no other device."""
    RESTORE = "restore"
    """Bringing the outlets to the level at which they are left."""
    DONE = "done"
    PROBLEMS = "done-with-problems"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OTHER = "other"
    """A step that this release does not know; it is never sent."""

    @classmethod
    def _missing_(cls, value: object) -> "InstallStep":  # noqa: ARG003  # as enum calls it
        return cls.OTHER

    @property
    def over(self) -> bool:
        """Whether no run is under way."""
        return self in _OVER


_OVER = frozenset(
    {
        InstallStep.IDLE,
        InstallStep.DONE,
        InstallStep.PROBLEMS,
        InstallStep.FAILED,
        InstallStep.CANCELLED,
    }
)


class InstallVerdict(enum.StrEnum):
    """What the install run found out about a board or a slot."""

    UNKNOWN = ""
    """Nothing yet."""
    OK = "ok"
    FOREIGN = "foreign"
    """It talks although the stack it was heard in is off: not a board of the rack."""
    IN_TWO_STACKS = "in-two-stacks"
    """One hardware address was heard in two stacks."""
    OVERFULL = "overfull"
    """The stack has no slot left for it."""
    MISSING = "missing"
    """The slot's board was not heard."""
    CONFLICT = "conflict"
    """Another device uses the slot's address."""
    OTHER = "other"
    """A verdict that this release does not know; it is never sent."""

    @classmethod
    def _missing_(cls, value: object) -> "InstallVerdict":  # noqa: ARG003  # as enum calls it
        return cls.OTHER


class InstallState(Payload, frozen=True, kw_only=True):
    """Progress of the install run, on ``P/install/state``, sent after its stacks.

    Args:
        run: Id of the run; empty when there was none.
        step: What it is doing.
        backend: The DHCP server: ``dnsmasq``, ``observe``, ``dhcpd`` or ``kea``;
            empty: provisioning is off in the configuration.
        interface: Network interface it serves and listens on.
        only: The one stack it scans; None: all of the rack.
        dry: It only says what it would do.
        by: Who began it.
        stack: Which stack; None between stacks.
        done: Boards finished.
        total: Boards expected.
        problems: In words, one each.
        verdicts: Counts of boards and slots by verdict.
        forecast: What the run will do, in words; said before it is confirmed.
        eta_s: Seconds it may still take; None where it is not known.
    """

    run: ShortText = ""
    step: InstallStep = InstallStep.IDLE
    backend: ShortText = ""
    interface: ShortText = ""
    only: Count | None = None
    dry: bool = False
    by: ShortText = ""
    stack: Count | None = None
    done: Count = 0
    total: Count = 0
    problems: tuple[Text, ...] = ()
    verdicts: dict[InstallVerdict, Count] = msgspec.field(default_factory=dict)
    forecast: tuple[Text, ...] = ()
    eta_s: Seconds | None = None


class ScanPhase(enum.StrEnum):
    """Where a stack stands in the install run."""

    WAITING = "waiting"
    """Its turn has not come."""
    SCANNING = "scanning"
    """It is on, and its boards ask for addresses; or it is off again to be sure."""
    PLACED = "placed"
    """Its boards have places; they are not up at their addresses yet."""
    VERIFIED = "verified"
    """Every board that was found answered at its address."""
    PROBLEMS = "problems"
    """Something about it needs a person; the boards and ``InstallState`` say what."""
    UNTOUCHED = "untouched"
    """The run does not scan it."""
    OTHER = "other"
    """A word that this release does not know; it is never sent."""

    @classmethod
    def _missing_(cls, value: object) -> "ScanPhase":  # noqa: ARG003  # as enum calls it
        return cls.OTHER


class InstallBoard(Payload, frozen=True, kw_only=True):
    """A slot of a stack in the install run, or a board that asked and has none yet.

    Args:
        slot: From 1, top first; None: it was heard, and has no slot (yet).
        name: The slot's name; empty without a slot.
        address: The slot's IPv4 address, or the one it was lent; empty: none yet.
        mac: Wired hardware address; empty: the slot never had a board.
        serial: As the board said itself; empty if it did not.
        model: As the board said itself; empty if it did not.
        verdict: What was found out; empty while it is not known.
        verified: It answered at its address since all stacks came on.
    """

    slot: Count | None = None
    name: ShortText = ""
    address: ShortText = ""
    mac: ShortText = ""
    serial: ShortText = ""
    model: ShortText = ""
    verdict: InstallVerdict = InstallVerdict.UNKNOWN
    verified: bool = False


class InstallStack(Payload, frozen=True, kw_only=True):
    """One stack in the latest install run, on ``P/install/stack/<n>``.

    Args:
        stack: Number.
        run: Id of the run; empty when there was none: its places are known from before.
        phase: Where it stands.
        boards: Its slots in order, then who else was heard in it.
    """

    stack: Count
    run: ShortText = ""
    phase: ScanPhase = ScanPhase.UNTOUCHED
    boards: tuple[InstallBoard, ...] = ()
