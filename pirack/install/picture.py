"""The install run in words and rows, for any terminal, file or pipe; pure."""

from collections.abc import Iterable, Iterator, Mapping

from broker.common.service import EXIT_FAILED, EXIT_OK
from broker.contract.messages import (
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    ScanPhase,
)
from pirack.table import span

HEAD = ("slot", "address", "MAC", "board", "found")

_STEPS = {
    InstallStep.IDLE: "no run",
    InstallStep.PREFLIGHT: "looking whether it may begin; nothing is switched",
    InstallStep.CONFIRM: "waiting for a person: pirack install confirm, or cancel",
    InstallStep.ALL_OFF: "switching the stacks off",
    InstallStep.BASELINE: "listening with the stacks off: whoever talks is foreign",
    InstallStep.SCAN: "stack {stack} has come on: its boards ask for addresses",
    InstallStep.CHECK: "stack {stack} is off again: whoever still answers is foreign",
    InstallStep.COMMIT: "the boards of stack {stack} get their places",
    InstallStep.ALL_ON: "switching the stacks on, one after the other",
    InstallStep.VERIFY: "boards move to their addresses, and must answer there",
    InstallStep.RESTORE: "bringing the outlets where they are to be left",
    InstallStep.DONE: "done",
    InstallStep.PROBLEMS: "done, with problems",
    InstallStep.FAILED: "failed",
    InstallStep.CANCELLED: "cancelled",
}
_WORDS = {InstallVerdict.OK: "found", InstallVerdict.MISSING: "missing"}


def live(state: InstallState) -> bool:
    """Whether a run is under way."""
    return bool(state.run) and not state.step.over


def exit_code(state: InstallState) -> int:
    """Return what a run that is over, or under way, means for a script."""
    bad = {InstallStep.PROBLEMS, InstallStep.FAILED, InstallStep.CANCELLED}
    return EXIT_FAILED if state.step in bad else EXIT_OK


def step(state: InstallState) -> str:
    """Return what the run is doing."""
    number = state.stack if state.stack is not None else "?"
    return _STEPS.get(state.step, state.step.value).format(stack=number)


def title(state: InstallState) -> str:
    """Say which run it is and how far."""
    if not state.run:
        return f"no install run yet ({server(state)})"
    what = "" if state.only is None else f", stack {state.only} only"
    dry = ", dry" if state.dry else ""
    by = f", by {state.by}" if state.by else ""
    return f"{state.run}{what}{dry}{by}: {step(state)}"


def server(state: InstallState) -> str:
    """Say which DHCP server it is about."""
    if not state.backend:
        return "provisioning is off: [install] backend in pirack.toml turns it on"
    return f"{state.backend} on {state.interface or 'no interface'}"


def amount(state: InstallState) -> str:
    """Say how many boards are finished, and how long it may still take."""
    left = "" if state.eta_s is None else f", about {span(state.eta_s)} left"
    what = "answer at their addresses" if state.step is InstallStep.VERIFY else "boards"
    return f"{state.done} of {state.total} {what}{left}"


def forecast(state: InstallState) -> Iterator[str]:
    """Say what the run will do, and what stands against it."""
    yield "It would do this:" if state.dry else "It will do this:"
    yield from (f"  {line}" for line in state.forecast)
    if not state.dry:  # a dry run is over: its summary tells them
        yield from problems(state.problems)


def problems(texts: Iterable[str]) -> Iterator[str]:
    """Return what a person must look at, each with what to do."""
    told = tuple(texts)
    if told:
        yield "Problems:" if len(told) > 1 else "Problem:"
        yield from (f"  ! {text}" for text in told)


def summary(state: InstallState) -> Iterator[str]:
    """Say where a run stands, or what came of it."""
    found = ", ".join(f"{n} {verdict}" for verdict, n in state.verdicts.items() if n)
    yield title(state)
    if state.run and not state.dry:
        yield f"  {amount(state)}" + (f" ({found})" if found else "")
    yield from problems(state.problems)
    if state.dry:
        yield "Nothing was touched."


def boards(stacks: Mapping[int, InstallStack]) -> Iterator[str]:
    """Return a line for each stack and for each of its boards."""
    rows = [row(board) for one in stacks.values() for board in one.boards]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    if rows:
        yield "  " + _aligned(HEAD, widths)
    for number in sorted(stacks):
        yield f"stack {number}  {phase(stacks[number])}"
        for board in stacks[number].boards:
            yield "  " + _aligned(row(board), widths)


def row(board: InstallBoard) -> tuple[str, ...]:
    """Return a board's cells, one for each of ``HEAD``."""
    model = board.model.removeprefix("Raspberry ")
    what = " ".join(word for word in (model, board.serial) if word)
    return (board.name or "-", board.address, board.mac, what, found(board))


def found(board: InstallBoard) -> str:
    """Say what was found out about a slot or a board."""
    if board.verified:
        return "answers"
    return _WORDS.get(board.verdict, board.verdict.value)


def mark(board: InstallBoard) -> str:
    """Return one character for a board; the words stand in the full table."""
    if board.verified:
        return "✓"
    marks = {InstallVerdict.UNKNOWN: " ", InstallVerdict.OK: "·"}
    return marks.get(board.verdict, "✗")


def phase(stack: InstallStack) -> str:
    """Say where a stack stands."""
    count = sum(
        1 for board in stack.boards if board.mac and board.verdict is InstallVerdict.OK
    )
    slots = sum(board.slot is not None for board in stack.boards)
    if stack.phase in {ScanPhase.WAITING, ScanPhase.UNTOUCHED}:
        return stack.phase.value
    return f"{stack.phase}  {count} of {slots}"


def _aligned(cells: Iterable[str], widths: list[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(f"{cell:<{width}}" for cell, width in pairs).rstrip()
