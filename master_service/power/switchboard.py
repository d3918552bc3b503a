"""``power on|off|cycle``: every outlet under way, and whose turn it is; pure."""

from broker.common.errors import TopicError
from broker.contract.messages import EventKind, Phase, Power, Result
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import DESTRUCTIVE, PowerAction
from master_service.power import pacing
from master_service.power.evidence import found
from master_service.power.job import Job, JobStep, ShutDown
from master_service.power.pacing import SwitchOnRetries
from master_service.power.power_command import (
    all_outlets,
    fed_by,
    outlets_of,
    place,
    requested,
)
from master_service.presence.judge import BOOT_MARGIN
from master_service.presence.rack import Rack
from master_service.rack.command import CommandRefusedError
from master_service.rack.command_run import CommandRow, CommandRun
from master_service.rack.effects import (
    Commit,
    Effects,
    OutletSwitched,
    Persist,
    SwitchOutlet,
)
from master_service.rack.events import Draft
from master_service.rack.node import NEVER, RackNode
from master_service.rack.outlet_state import OutletState
from master_service.rack.records import PartRecord
from master_service.rack.settings import OutletRow
from master_service.rack.times import Moment


class Switchboard:
    """Carries out power commands.

    Args:
        shut_down: Gives a board the order to shut down.
    """

    def __init__(self, rack: Rack, shut_down: ShutDown) -> None:
        self._rack = rack
        self._settings = rack.settings
        self._shut_down = shut_down
        self._jobs: dict[str, Job] = {}
        self._retries = SwitchOnRetries(rack.outbox)
        self._last_on = -NEVER
        self._since = -NEVER

    def begin(self, run: CommandRun, outlets: list[OutletState], at: Moment) -> Effects:
        """Starts on every outlet.

        Raises:
            CommandRefusedError: One of them is already on its way somewhere, or must
                not go.
        """
        action, force = requested(self._rack, run.asked.command.args)
        self._sweep(at.now)
        hit = fed_by(self._rack, outlets)
        self._refuse_busy(outlets, hit, force=force)
        if action is not PowerAction.ON:
            self._refuse_own(outlets)
        effects: Effects = []
        for outlet in outlets:
            keys = self._rows(run, outlet, at)
            job = Job(self._rack, run, outlet, action, keys, shut_down=self._shut_down)
            self._jobs[outlet.row.name] = job
            effects += job.begin(at)
        return effects + self.look(run, at)

    def look(self, run: CommandRun, at: Moment) -> Effects:
        """Tells the boards of a command to shut down, once all were pinged and judged.

        If one cannot be asked, none is told, and every outlet stays as it is.
        """
        jobs = [
            job
            for job in self._jobs.values()
            if job.run is run and job.step is JobStep.LOOKING
        ]
        effects: Effects = []
        # Outlets that a mains cut left at a wrong level go each by itself.
        for group in [[job] for job in jobs if job.alone] or filter(None, [jobs]):
            effects += self._look_at(group, at)
        return effects

    def _look_at(self, jobs: list[Job], at: Moment) -> Effects:
        effects: Effects = []
        waits = False
        for job in jobs:
            still, pings = job.look(at.now)
            waits, effects = waits or still, effects + pings
        if waits:
            return effects
        against: dict[str, str] = {}
        for job in jobs:
            against |= job.judge(at.now)
        if against:
            for job in jobs:
                effects += job.refuse_all(against, at.now)
            return effects
        orders: Effects = []
        for job in jobs:
            orders += job.stop_boards(at)
        # That they are told is on disk first; at once, it is with the whole command.
        kept = [job for job in jobs if job.run.kept]
        parts: Effects = [Persist(job.record) for job in kept]
        return [*effects, *parts, *([Commit()] if kept else []), *orders]

    def require_idle(self, outlets: list[OutletState], *, force: bool) -> None:
        """Refuses to cut outlets that are on their way, or must not go.

        Raises:
            CommandRefusedError: One of them is; the text says which and why.
        """
        self._refuse_busy(outlets, fed_by(self._rack, outlets), force=force)
        self._refuse_own(outlets)

    def busy(self, outlets: list[OutletState]) -> str:
        """Returns what is under way with some outlets; empty: nothing."""
        return self._busy(outlets, fed_by(self._rack, outlets), force=False)

    def records(self, run: CommandRun) -> Effects:
        """Returns what belongs on disk before anything is done about a command."""
        mine = (job for job in self._jobs.values() if job.run is run)
        return [Persist(job.record) for job in mine]

    def cold_start(self, run: CommandRun, at: Moment) -> Effects:
        """Starts on the outlets that a mains cut left at another level than theirs.

        Outlets come on one by one. What must be off goes off by way of a clean
        shutdown, when it is known who is there; never the one that feeds us.
        """
        self._since = at.now
        idle = [
            outlet
            for outlet in all_outlets(self._rack)
            if outlet.row.name not in self._jobs
            and not self._own([outlet])
            and not self._of_run(outlet)
        ]
        effects: Effects = []
        for outlet in idle:
            if pacing.level_after_mains_cut(outlet, self._settings.power) is Power.OFF:
                outlet.want(outlet.wanted)
        for outlet, action in pacing.after_mains_cut(idle, self._settings.power):
            keys = self._rows(run, outlet, at)
            job = Job(
                self._rack,
                run,
                outlet,
                action,
                keys,
                shut_down=self._shut_down,
                alone=True,
            )
            self._jobs[outlet.row.name] = job
            if action is PowerAction.ON:
                effects += job.begin(at)
        return effects

    def resume(self, run: CommandRun, records: list[PartRecord], at: Moment) -> Effects:
        """Resumes the outlets of a command from before the start."""
        effects: Effects = []
        for record in sorted(records, key=self._place):
            keys = self._rows_again(run, record, at)
            outlet = self._rack.panel.outlets.get(record.outlet)
            if outlet is None:
                error = f"outlet {record.outlet} is not in the configuration any more"
                for key in keys:
                    run.end(key, Phase.FAILED, at.now, error=error)
                continue
            job = Job(
                self._rack,
                run,
                outlet,
                PowerAction(record.action),
                keys,
                shut_down=self._shut_down,
                alone=record.alone,
                before=Power(record.before),
                wanted=Power(record.wanted or record.before),
            )
            effects += job.resume(JobStep(record.step), at)
            if not job.ended:
                self._jobs[outlet.row.name] = job
        return effects

    def cancel(
        self, run: CommandRun, why: str, at: Moment
    ) -> tuple[Effects, dict[str, str]]:
        """Stops what can be stopped of a command.

        Returns:
            What is to be done, and why it goes on, by row, where it does.
        """
        effects: Effects = []
        goes_on: dict[str, str] = {}
        for job in self._jobs.values():
            if job.run is run and not job.ended:
                done, obstacle = job.cancel(why, at.now)
                effects += done
                goes_on |= dict.fromkeys(job.keys if obstacle else (), obstacle)
        return effects, goes_on

    def result(
        self, run: CommandRun, node: RackNode, result: Result, now: float
    ) -> None:
        """Handles a node's answer to its order to shut down."""
        if not result.phase.final or result.phase is Phase.DONE:
            return
        for job in self._jobs.values():
            if job.run is run and job.waits_for(node.id):
                job.refuse(node.id, result.error or f"exit code {result.exit_code}")
                self._rack.tracker.expect(node, None, now)

    def undelivered(self, run: CommandRun, key: str, why: str, now: float) -> bool:
        """Notes that a board was not told to shut down, if it should: it runs on."""
        node = run.rows[key].node
        jobs = [j for j in self._jobs.values() if j.run is run and j.waits_for(key)]
        for job in jobs:
            job.refuse(key, f"could not be told to shut down: {why}")
            if node is not None:
                self._rack.tracker.expect(node, None, now)
        return bool(jobs)

    def switched(self, done: OutletSwitched, at: Moment) -> Effects:
        """Handles the result of switching an outlet."""
        outlet = self._rack.panel.outlets[done.outlet]
        self._retries.switched(outlet, done, at)
        job = self._jobs.get(done.outlet)
        if job is None:
            return []
        effects = job.switched(done, at)
        asked = job.run.asked
        text = f"outlet {done.outlet} was switched {job.outlet.level}"
        if done.already:
            text = f"outlet {done.outlet} is {job.outlet.level} already"
        self._rack.outbox.drafts.append(
            Draft(
                kind=EventKind.POWER,
                text=done.error or text,
                stack=job.outlet.row.stack,
                verb=asked.verb,
                by=asked.command.by,
                correlation=asked.id,
            )
        )
        return effects

    def tick(self, at: Moment) -> Effects:
        """Moves every outlet on, in order: the first that waits comes on first."""
        effects: Effects = []
        for job in list(self._jobs.values()):
            if job.step is JobStep.LOOKING:
                effects += self.look(job.run, at)
            else:
                effects += self._go_on(job, at)
        self._sweep(at.now)
        return effects + self._retry(at)

    def unsure(self, now: float) -> list[str]:
        """Returns the outlets to read now: they may move without being told again."""
        return [name for name, job in self._jobs.items() if job.unsure(now)]

    def awaited(self, outlet: str) -> bool:
        """Returns whether a command waits to see an outlet move."""
        job = self._jobs.get(outlet)
        return job is not None and job.looking

    def owed(self, scope: Scope) -> list[OutletState]:
        """Returns the outlets of a scope that are tried until they are on."""
        everywhere = scope.kind is ScopeKind.RACK
        try:
            meant = (
                all_outlets(self._rack) if everywhere else outlets_of(self._rack, scope)
            )
        except (CommandRefusedError, TopicError):
            return []
        busy = {name for name, job in self._jobs.items() if not job.ended}
        return [
            outlet for outlet in meant if outlet.owed and outlet.row.name not in busy
        ]

    def _retry(self, at: Moment) -> Effects:
        """Switches on again what must come on and did not."""
        effects: Effects = []
        for name, outlet in self._rack.panel.outlets.items():
            if not outlet.owed or name in self._jobs:
                self._retries.forget(outlet)
            elif self._retries.due(outlet, at.now) and self._has_room(
                outlet.row, at.now
            ):
                self._retries.begin(outlet)
                effects.append(SwitchOutlet(name, on=True))
        return effects

    def _go_on(self, job: Job, at: Moment) -> Effects:
        if job.step is JobStep.PLANNED:
            if not self._judged(at.now):
                return []
            return job.begin(at)
        return job.advance(at, lambda one: self._may_come(one, at.now))

    def _judged(self, now: float) -> bool:
        """Returns whether every board had time to boot after the mains cut."""
        boots_s = BOOT_MARGIN * self._settings.master.boot_s
        return now - self._since >= boots_s and not self._rack.verdicts.frozen(now)

    def _may_come(self, job: Job, now: float) -> bool:
        if job.outlet.level is Power.ON:
            return True
        if job.alone and any(one.coming for one in self._jobs.values()):
            return False
        return self._has_room(job.outlet.row, now)

    def _has_room(self, row: OutletRow, now: float) -> bool:
        may = pacing.has_room(
            self._settings.power,
            row,
            [one.outlet.row for one in self._jobs.values() if one.coming],
            since_last_s=now - self._last_on,
        )
        if may:
            self._last_on = now
        return may

    def _sweep(self, now: float) -> None:
        """Drops the outlets that are done, so that others may have them."""
        for name, job in list(self._jobs.items()):
            if job.ended:
                del self._jobs[name]
                self._relieve(job, now)

    def _relieve(self, job: Job, now: float) -> None:
        """Clears what was expected of the boards of an outlet that is done."""
        for node in fed_by(self._rack, [job.outlet]):
            if node.pending is not None:
                self._rack.tracker.expect(node, None, now)

    def _rows(self, run: CommandRun, outlet: OutletState, at: Moment) -> list[str]:
        """Adds a row for each board an outlet feeds, or one for the outlet alone."""
        keys = []
        for node in fed_by(self._rack, [outlet]):
            row = CommandRow(node, node.name, at.now, NEVER)
            run.add(node.id, row)
            run.show(row)
            keys.append(node.id)
        for _, board in found(self._rack, [outlet]):
            row = CommandRow(None, board.name, at.now, NEVER)
            row.found = board
            key = board.mac or board.name
            run.add(key, row)
            keys.append(key)
        if not keys:
            keys = [f"outlet {outlet.row.name}"]
            run.add(keys[0], CommandRow(None, keys[0], at.now, NEVER))
        return keys

    def _rows_again(self, run: CommandRun, record: PartRecord, at: Moment) -> list[str]:
        """Adds the rows that a command had before the start."""
        for target in record.targets:
            node = self._rack.registry.nodes.get(target.key)
            row = CommandRow(node, target.name, at.now, NEVER)
            row.boot_id, row.told = target.boot_id, target.told
            row.unproven = target.unproven
            run.add(target.key, row)
            run.show(row)
            if target.phase.final:
                run.end(
                    target.key,
                    target.phase,
                    at.now,
                    error=target.error,
                    verified=target.verified,
                )
        return [target.key for target in record.targets]

    def _refuse_busy(
        self, outlets: list[OutletState], nodes: list[RackNode], *, force: bool
    ) -> None:
        why = self._busy(outlets, nodes, force=force)
        if why:
            text = f"busy: {why}"
            raise CommandRefusedError(text)

    def _busy(
        self, outlets: list[OutletState], nodes: list[RackNode], *, force: bool
    ) -> str:
        for outlet in outlets:
            if outlet.row.name in self._jobs:
                other = self._jobs[outlet.row.name].run.asked
                return f"outlet {outlet.row.name} by power command {other.id}"
        for node in nodes:
            doing = node.running
            if node.pending is not None:
                return f"{node.name}: {node.reason}"
            if doing is not None and doing.verb in DESTRUCTIVE and not force:
                return f"{node.name}: {doing.verb} is {doing.phase}"
        return ""

    def _refuse_own(self, outlets: list[OutletState]) -> None:
        """Refuses to cut our own power: nothing would be left to bring it back."""
        own = self._own(outlets)
        if own:
            text = f"{own[0]} is the master's own board; it cannot cut its own power"
            raise CommandRefusedError(text)

    def _own(self, outlets: list[OutletState]) -> list[str]:
        own = self._settings.master.node
        return [node.name for node in fed_by(self._rack, outlets) if node.id == own]

    def _of_run(self, outlet: OutletState) -> bool:
        """Returns whether it feeds a stack that an install run has."""
        stacks = {
            outlet.row.stack,
            *(node.stack for node in fed_by(self._rack, [outlet])),
        }
        return not self._rack.locks.of_run.isdisjoint(stacks)

    def _place(self, record: PartRecord) -> tuple[int, str]:
        outlet = self._rack.panel.outlets.get(record.outlet)
        return place(outlet) if outlet is not None else (0, record.outlet)
