"""Orders that were under way when the master ended: reported, never sent again; pure.

What became of a board that had been told is seen in its verdict; sending the order once
more could interrupt it twice.
"""

from broker.contract.messages import Phase
from master_service.commands.run import Row, Run
from master_service.rack.node import NEVER
from master_service.rack.records import PartRecord, TargetRecord
from master_service.rack.registry import Registry

WAITED = "not started: the master was restarted"
TOLD = "it was told, and the master was restarted before the effect was seen"


def report(run: Run, record: PartRecord, registry: Registry, now: float) -> None:
    """Fill a command's receipt with how far each of its targets was.

    Args:
        run: The command, without rows.
        record: From disk.
        registry: The nodes.
        now: Monotonic seconds.
    """
    for target in record.targets:
        node = registry.nodes.get(target.key)
        run.add(target.key, Row(node, target.name, now, NEVER))
        phase, error = _outcome(target)
        run.end(target.key, phase, now, error=error, verified=target.verified)


def _outcome(target: TargetRecord) -> tuple[Phase, str]:
    if target.phase.final:
        return target.phase, target.error
    return (Phase.FAILED, TOLD) if target.told else (Phase.NOT_DELIVERED, WAITED)
