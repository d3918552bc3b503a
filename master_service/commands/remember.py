"""From a command to what is on disk about it, and back; pure."""

from collections.abc import Iterable
from typing import Any

from broker.contract.messages import Command
from broker.contract.topics import Scope
from master_service.commands.effects import Asked, Route
from master_service.commands.run import Row
from master_service.rack.records import PartRecord, TargetRecord
from master_service.rack.times import Moment


def part(asked: Asked, targets: dict[str, Row], **share: Any) -> PartRecord:  # noqa: ANN401  # fields by name
    """Return what belongs on disk about a command and some of its targets.

    Args:
        asked: The command.
        targets: Their rows.
        share: The fields of ``PartRecord`` about one outlet.
    """
    return PartRecord(
        id=asked.id,
        verb=asked.verb,
        scope=str(asked.scope),
        args=asked.command.args,
        asked=asked.at.wall,
        by=asked.command.by,
        inbox=asked.route.response_topic,
        correlation=asked.route.correlation,
        targets=tuple(_target(key, row) for key, row in targets.items()),
        asked_at=asked.at.now,
        **share,
    )


def by_command(records: Iterable[PartRecord]) -> list[list[PartRecord]]:
    """Return the records of each command together."""
    found: dict[str, list[PartRecord]] = {}
    for record in records:
        found.setdefault(record.id, []).append(record)
    return list(found.values())


def asked(record: PartRecord, at: Moment) -> Asked:
    """Return a command as it was let in.

    Args:
        record: From disk.
        at: This moment.
    """
    age_s = _age_s(record, at)
    return Asked(
        record.id,
        Command(id=record.id, args=record.args, by=record.by),
        Route(Scope.parse(record.scope), record.verb, record.inbox, record.correlation),
        Moment(at.now - age_s, record.asked),
    )


def _age_s(record: PartRecord, at: Moment) -> float:
    """Returns for how long a command has been under way, seconds.

    The wall clock may have been set meanwhile, by years; the monotonic one began again
    if the machine did. Neither is believed above the other: the shorter span counts.
    """
    by_wall = at.wall - record.asked
    if record.asked_at is None:
        return max(0.0, by_wall)
    by_monotonic = at.now - record.asked_at
    if by_monotonic < 0:  # another boot, which has lasted for `now` seconds
        return by_wall if by_wall > 0 else at.now
    return min(by_monotonic, by_wall) if by_wall > 0 else by_monotonic


def _target(key: str, row: Row) -> TargetRecord:
    return TargetRecord(
        key=key,
        name=row.name,
        boot_id=row.boot_id,
        told=row.told,
        phase=row.phase,
        error=row.error,
        verified=row.verified,
        unproven=row.unproven,
    )
