"""Puts into the store's queue what the commands want remembered."""

from collections.abc import Callable

from master_service.commands.effects import (
    Bury,
    DropLock,
    DropParts,
    Effect,
    KeepBoot,
    KeepDone,
    KeepLock,
    KeepNode,
    KeepOutlet,
    KeepPart,
    Unbury,
)
from master_service.locks import locked_stack
from master_service.rack import Rack
from master_service.store import Store


class Keeper:
    """Keeps.

    Args:
        rack: Where nodes and outlets are.
        store: Where they go.
        stale: Told the stack whose state must be looked at again.
    """

    def __init__(
        self, rack: Rack, store: Store, stale: Callable[[int | None], None]
    ) -> None:
        self._rack = rack
        self._store = store
        self._stale = stale

    def keep(self, effect: Effect) -> None:
        """Queue one thing; what is not for the disk is not for us."""
        match effect:
            case KeepNode(node) if node in self._rack.registry.nodes:
                known = self._rack.registry.nodes[node]
                self._store.keep_node(self._rack.registry.record(known))
            case KeepOutlet(outlet):
                self._store.keep_outlet(self._rack.panel.outlets[outlet].record())
            case Bury(node):
                self._store.keep_tombstone(node)
            case Unbury(node):
                self._store.drop_tombstone(node)
            case KeepLock() | DropLock():
                self._lock(effect)
            case _:
                self._command(effect)

    def _lock(self, effect: KeepLock | DropLock) -> None:
        match effect:
            case KeepLock(lock):
                self._store.keep_lock(lock)
                self._stale(locked_stack(lock.scope))
            case DropLock(scope):
                self._store.drop_lock(scope)
                self._stale(locked_stack(scope))

    def _command(self, effect: Effect) -> None:
        match effect:
            case KeepDone(command_id):
                self._store.keep_done(command_id)
            case KeepBoot(boot_id):
                self._store.keep_boot_id(boot_id)
            case KeepPart(record):
                self._store.keep_part(record)
            case DropParts(command_id):
                self._store.drop_parts(command_id)
            case _:
                pass
