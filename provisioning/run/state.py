"""The state of an install run; frozen, and on disk after every turn."""

import enum

import msgspec

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.subnet import Reservation
from provisioning.run.plan import AddressLayout, Place, Sighting, StackPlan

VERSION = 2
"""Of the order of steps. Until version 1 each stack was cut after its scan."""


class Leave(enum.StrEnum):
    """How a cancelled run leaves the outlets."""

    LEAVE = "leave"
    """As they are."""
    RESTORE = "restore"
    """As they were before the run."""
    OFF = "off"
    """Off."""


class RunPace(msgspec.Struct, frozen=True, kw_only=True):
    """How long the run waits for what; all in seconds.

    Args:
        preflight_s: At most for all checks before the run.
        confirm_s: At most for a person to confirm.
        switch_s: At most for one outlet, clean shutdown of its boards included.
        settle_s: From the cut until boards are surely dead (their capacitors).
        baseline_s: Listening with all stacks off.
        quiet_s: Without a new board before a full stack counts as scanned.
        window_s: At most for the boards of one stack to boot and ask.
        probe_s: Listening for answers to ARP.
        apply_s: At most for the DHCP server to take its reservations.
        retry_s: Between two attempts at the same thing.
        stagger_s: Between two stacks that are switched on: inrush.
        verify_s: At most for all boards to come up at their addresses.
    """

    preflight_s: float = 60.0
    confirm_s: float = 900.0
    switch_s: float = 150.0
    settle_s: float = 3.0
    baseline_s: float = 5.0
    quiet_s: float = 5.0
    window_s: float = 120.0
    probe_s: float = 1.0
    apply_s: float = 30.0
    retry_s: float = 2.0
    stagger_s: float = 1.5
    verify_s: float = 180.0


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is asked to do.

    Args:
        stacks: The stacks to scan, in this order: all of the rack, or one.
        layout: How new slots get addresses.
        network: The network whose addresses may be probed, as ``192.168.23.0/24``.
        pool_size: Addresses the DHCP server has for boards without a reservation.
        whole: All stacks of the rack are scanned, so everything may be switched off.
        reserves: The DHCP server takes reservations; False for somebody else's.
        dry: Only say what would happen.
        confirmed: A person already agreed; the run does not wait for that.
        force: Go on over problems that would end the run.
        by: Name of the person who asked.
        running: Names of the boards that run in these stacks, for the forecast.
        unplaced: Names of the boards that run at unknown places, for the forecast.
        mute: Names of the boards in these stacks that cannot be asked to shut down,
            because no agent of theirs is heard, for the forecast.
    """

    stacks: tuple[StackPlan, ...]
    layout: AddressLayout
    network: str
    pool_size: int = 0
    whole: bool = True
    reserves: bool = True
    dry: bool = False
    confirmed: bool = False
    force: bool = False
    pace: RunPace = RunPace()
    by: str = ""
    running: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    mute: tuple[str, ...] = ()

    @property
    def only(self) -> int | None:
        """The one stack it is about; None: all of the rack."""
        return None if self.whole else self.stacks[0].number


class InstallFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict about a board or a slot that is not ``ok``.

    Args:
        verdict: In one word.
        text: In words a person can act on.
        stack: The stack it concerns; None: none.
        mac: The hardware address it concerns; empty: none.
    """

    verdict: InstallVerdict
    text: str
    stack: int | None = None
    mac: str = ""


class InstallRun(msgspec.Struct, frozen=True, kw_only=True):
    """One install run at one moment.

    Args:
        id: Names it in the journal and on the wire.
        params: What it was asked to do.
        step: What it is doing.
        turn: Counts the steps; an answer to an older turn is ignored.
        position: Index of the stack in ``params.stacks``.
        attempt: 1, or 2 after a restart in the middle of a scan.
        tries: Failed attempts at the present action.
        busy: An action is under way; when its time is over it counts as lost.
        wake: Monotonic second of its next ``Tick``.
        until: While scanning and verifying: monotonic second it gives up.
        powered_at: While scanning: monotonic second the stack came on; None: not yet.
        heard_at: While scanning: monotonic second of the last new board.
        cut_at: Of runs before version 2.
        waiting: Outlets still to be switched or read back.
        cutting: Stacks told to go off and not read back off: boards may be halted.
        before: Outlets as they were.
        seen: Boards heard in the stack under scan.
        still: Of runs before version 2.
        foreign: Hardware addresses that talk with their stack off.
        elsewhere: Boards that answer while the stacks to be scanned are off, because
            they are in others that stay on.
        scanned: Boards committed in this run, by stack.
        heard: Address each board asked for since all stacks came on.
        cards: DHCP client identifier by hardware address; copied cards share one.
        verified: Hardware addresses that answered at their places.
        findings: All verdicts that are not ``ok``.
        problems: What the checks before the run said, and what went wrong since.
        passing: Those of the problems that are over once a board is heard.
        forecast: What it will do, in texts.
        outage_at: Monotonic second the DHCP server went away; None: it is there.
        boot_s: Longest time a board took from power on to its first message, seconds;
            until one was heard that of the run before.
        ending: The terminal step that follows ``restore``.
        leave: How ``restore`` leaves the outlets.
        earlier: Reservations of before it, or of before a later swap, for ``undo``;
            None: not known.
        version: Of the order of steps; see ``VERSION``.
        lit: Stacks that came on in this run.
        swept: During the baseline: the network was asked who answers with all off.
        brief: Leases are short, so that boards soon hear of a new address.
        taken: Address of a slot to the foreign device that had it with the stacks off.
        suspects: Hardware address of a board that may stand in another stack than the
            one that had just come on, to the number of that stack; 0: none had.
        again: Hardware address that has a place and was heard like a board that has
            just started, to the stack that had just come on.
        declined: Hardware address to the address its board gave back as being in use.
        settling: The stack that is scanned once more to settle what is ambiguous; 0:
            none.
        settled: Stacks that were, or could not be.
        unsettled: Those of them that could not be cut for it.
        fastest_s: Shortest time a board of this run took from power on to its first
            message, seconds; 0: none was heard.
    """

    id: str
    params: Params
    places: tuple[Place, ...]
    step: InstallStep = InstallStep.PREFLIGHT
    turn: int = 0
    position: int = 0
    attempt: int = 1
    tries: int = 0
    busy: bool = False
    wake: float = 0.0
    until: float = 0.0
    powered_at: float | None = None
    heard_at: float = 0.0
    cut_at: float | None = None
    waiting: tuple[int, ...] = ()
    cutting: tuple[int, ...] = ()
    before: dict[int, Power] = msgspec.field(default_factory=dict)
    seen: dict[str, Sighting] = msgspec.field(default_factory=dict)
    still: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    scanned: dict[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    heard: dict[str, str] = msgspec.field(default_factory=dict)
    cards: dict[str, str] = msgspec.field(default_factory=dict)
    verified: tuple[str, ...] = ()
    findings: tuple[InstallFinding, ...] = ()
    problems: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    forecast: tuple[str, ...] = ()
    outage_at: float | None = None
    boot_s: float = 30.0
    ending: InstallStep = InstallStep.FAILED
    leave: Leave = Leave.RESTORE
    earlier: tuple[Reservation, ...] | None = None
    version: int = 1
    lit: tuple[int, ...] = ()
    swept: bool = False
    brief: bool = False
    taken: dict[str, str] = msgspec.field(default_factory=dict)
    suspects: dict[str, int] = msgspec.field(default_factory=dict)
    again: dict[str, int] = msgspec.field(default_factory=dict)
    declined: dict[str, str] = msgspec.field(default_factory=dict)
    settling: int = 0
    settled: tuple[int, ...] = ()
    unsettled: tuple[int, ...] = ()
    fastest_s: float = 0.0

    @property
    def cut(self) -> tuple[int, ...]:
        """The stacks that are off before the present scan: all of the run, or one."""
        if self.settling:
            return (self.settling,)
        return tuple(stack.number for stack in self.params.stacks)

    @property
    def stack(self) -> StackPlan:
        """The stack whose turn it is."""
        return self.params.stacks[self.position]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.step.over

    @property
    def boards(self) -> int:
        """How many boards the scanned stacks hold."""
        return sum(stack.slots for stack in self.params.stacks)

    @property
    def durable(self) -> tuple[object, ...]:
        """What must survive a crash; the boards heard too, for the stack stays on."""
        return (
            self.turn,
            self.seen,
            self.suspects,
            self.again,
            self.lit,
            self.before,
            self.cutting,
            self.places,
            self.findings,
            self.problems,
            self.verified,
            self.ending,
        )

    def with_(self, **changes: object) -> "InstallRun":
        """Returns the run with some fields changed."""
        return msgspec.structs.replace(self, **changes)
