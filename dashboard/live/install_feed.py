"""What the Install page is sent; components/parts/install_run.js reads it.

Only tabs that show that page get it: a thousand boards are a hundred kilobytes. All
other pages have the few words of ``words`` and ``hint``.
"""

from typing import Any

import msgspec

from broker.contract.messages import (
    InstallStack,
    InstallState,
    InstallStep,
)
from dashboard.live.model import RackModel

_FOUND, _ON = 80, 85
"""Percent of a run when every stack is scanned, and when all are on again: most of its
time is waiting for boards to boot one stack after the other."""

_STEPS = {
    InstallStep.PREFLIGHT: "checking",
    InstallStep.CONFIRM: "waits to be confirmed",
    InstallStep.ALL_OFF: "switching off",
    InstallStep.BASELINE: "listening, all is off",
    InstallStep.SCAN: "scanning {stack}",
    InstallStep.CHECK: "checking {stack}",
    InstallStep.COMMIT: "placing boards of {stack}",
    InstallStep.ALL_ON: "switching on",
    InstallStep.VERIFY: "verifying",
    InstallStep.RESTORE: "ending early",
    InstallStep.PROBLEMS: "done",
}
_UNCOUNTED = frozenset(
    {InstallStep.PREFLIGHT, InstallStep.CONFIRM, InstallStep.RESTORE}
)
"""Steps at which no board can have been found yet, or none is looked for."""
_COUNTS_VERIFIED = frozenset(
    {InstallStep.VERIFY, InstallStep.DONE, InstallStep.PROBLEMS}
)


def words(install: InstallState | None) -> str:
    """Returns how far the latest run is; empty when there was none."""
    if install is None or not install.run:
        return ""
    stack = "the stack" if install.stack is None else f"stack {install.stack}"
    said = [_STEPS.get(install.step, install.step.value).format(stack=stack)]
    if install.step not in _UNCOUNTED and not install.dry:
        what = "verified" if install.step in _COUNTS_VERIFIED else "found"
        said.append(f"{install.done} of {install.total} {what}")
    if install.problems:
        many = len(install.problems)
        said.append(f"{many} problem{'s' if many > 1 else ''}")
    return ("dry run: " if install.dry else "") + ", ".join(said)


def trouble(install: InstallState | None) -> bool:
    """Whether the latest run failed or met a problem."""
    if install is None or not install.run:
        return False
    return install.step is InstallStep.FAILED or bool(install.problems)


def hint(install: InstallState | None) -> str:
    """Returns what the navigation shows of a run under way: ``17 %``, ``…`` or ``!``.

    The last says that it waits for a person; empty when there is none.
    """
    if install is None or not install.run or install.step.over:
        return ""
    if install.step is InstallStep.PREFLIGHT:
        return "…"
    if install.step is InstallStep.CONFIRM:
        return "!"
    return f"{share(install)} %"


def share(install: InstallState) -> int:
    """Returns how much of the whole run is done, percent."""
    done = install.done / max(install.total, 1)
    if install.step.over:
        return 100
    if install.step is InstallStep.VERIFY:
        return _ON + int((100 - _ON) * done)
    return _FOUND if install.step is InstallStep.ALL_ON else int(_FOUND * done)


def stack_object(stack: InstallStack, nodes: dict[str, str]) -> dict[str, Any]:
    """Returns a stack of the run; each board with the ``node`` that it is.

    Args:
        nodes: Wired hardware address to the id of the node that has it.
    """
    boards = [
        msgspec.structs.asdict(board) | {"node": nodes.get(board.mac.lower(), "")}
        for board in stack.boards
    ]
    return {
        "number": stack.stack,
        "run": stack.run,
        "phase": stack.phase,
        "boards": boards,
    }


class InstallFeed:
    """Everything of the latest install run, and what changed since the last look."""

    def __init__(self, model: RackModel) -> None:
        self._model = model
        self._state: InstallState | None = None
        self._heard_at = 0.0
        self._stacks: dict[int, dict[str, Any]] = {}
        self._rested = True
        self.delta: dict[str, Any] = {}
        """What is new since the look before; empty when nothing is."""

    def look(self, wall: float, *, wanted: bool) -> None:
        """Notes what is new, before the marks of the model are cleared.

        Args:
            wall: Unix time, seconds.
            wanted: Whether any tab shows it; without one the rows can wait.
        """
        model, self.delta = self._model, {}
        if model.install is not self._state:
            self._state = model.install
            self._heard_at = 0.0 if model.install_retained else wall
            self.delta["state"] = self._state_row()
        self._rested = self._rested or not wanted
        if wanted and (self._rested or model.installs_changed or model.moved):
            self._renew()
            self._rested = False

    def whole(self) -> dict[str, Any]:
        """Returns all of it, as of the last look."""
        stacks = list(self._stacks.values())
        return {"whole": True, "state": self._state_row(), "stacks": stacks}

    def _renew(self) -> None:
        """Makes the stacks again, and notes which of them differ now."""
        nodes = self._by_address()
        known = self._model.install_stacks
        before = self._stacks
        self._stacks = {n: stack_object(stack, nodes) for n, stack in known.items()}
        changed = [row for n, row in self._stacks.items() if before.get(n) != row]
        if changed:
            self.delta["stacks"] = changed
        if before.keys() - known.keys():
            self.delta["gone"] = sorted(before.keys() - known.keys())
        self._model.installs_changed = False

    def _state_row(self) -> dict[str, Any] | None:
        """Returns every field of the state, and two more.

        ``heard`` is when it was said, by our clock, or 0; ``share`` is in percent.
        """
        if self._state is None:
            return None
        found = msgspec.structs.asdict(self._state)
        return found | {"heard": round(self._heard_at), "share": share(self._state)}

    def _by_address(self) -> dict[str, str]:
        nodes = self._model.nodes.values()
        told = [(each.id, each.details.macs) for each in nodes if each.details]
        return {mac.lower(): node for node, macs in told for mac in macs}
