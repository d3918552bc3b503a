"""The install run in words, as rows, and as a picture while it goes on."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from broker.common.service import EXIT_FAILED, EXIT_OK
from broker.contract.messages import (
    Event,
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    InstallVerdict,
    ScanPhase,
    Status,
)
from pirack import terminal
from pirack.rack_client import RackClient
from pirack.screen import Grid, Line, LiveScreen, Piece, line, span, text_of

COLUMNS = ("slot", "address", "MAC", "board", "found")
BAR_WIDTH = 40
EVENTS = 4
"""Lines of history below the picture."""
PROBLEMS = 6
"""Newest problems shown while it runs; all of them are printed at its end."""

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
_PHASE_STYLES = {
    ScanPhase.SCANNING: "bold yellow",
    ScanPhase.PLACED: "cyan",
    ScanPhase.VERIFIED: "green",
    ScanPhase.PROBLEMS: "bold red",
}
_MARK_STYLES = {"✓": "green", "·": "cyan", "✗": "bold red"}


def is_live(state: InstallState) -> bool:
    """Whether a run is under way."""
    return bool(state.run) and not state.step.over


def exit_code(state: InstallState) -> int:
    """Returns what a run that is over, or under way, means for a script."""
    bad = {InstallStep.PROBLEMS, InstallStep.FAILED, InstallStep.CANCELLED}
    return EXIT_FAILED if state.step in bad else EXIT_OK


def away(client: RackClient) -> str:
    """Returns who is away, so that nothing new is heard; empty if all are there."""
    if client.trouble:
        return f"the broker is away ({client.trouble}); the run does not need it"
    if client.picture.master == Status.OFFLINE:
        return "the master is away; it goes on with the run when it is back"
    return ""


def step(state: InstallState) -> str:
    """Returns what the run is doing."""
    number = state.stack if state.stack is not None else "?"
    return _STEPS.get(state.step, state.step.value).format(stack=number)


def title(state: InstallState) -> str:
    """Returns which run it is and how far."""
    if not state.run:
        return f"no install run yet ({_server(state)})"
    what = "" if state.only is None else f", stack {state.only} only"
    dry = ", dry" if state.dry else ""
    by = f", by {state.by}" if state.by else ""
    return f"{state.run}{what}{dry}{by}: {step(state)}"


def _server(state: InstallState) -> str:
    if not state.backend:
        return "provisioning is off: [install] backend in pirack.toml turns it on"
    return f"{state.backend} on {state.interface or 'no interface'}"


def amount(state: InstallState) -> str:
    """Returns how many boards are finished, and how long it may still take."""
    left = "" if state.eta_s is None else f", about {span(state.eta_s)} left"
    what = "answer at their addresses" if state.step is InstallStep.VERIFY else "boards"
    return f"{state.done} of {state.total} {what}{left}"


def forecast(state: InstallState) -> Iterator[str]:
    """Returns what the run will do, and what stands against it."""
    yield "It would do this:" if state.dry else "It will do this:"
    yield from (f"  {text}" for text in state.forecast)
    if not state.dry:  # a dry run is over: its summary tells them
        yield from _problems(state.problems)


def _problems(texts: tuple[str, ...]) -> Iterator[str]:
    """Returns what a person must look at, each with what to do."""
    if texts:
        yield "Problems:" if len(texts) > 1 else "Problem:"
        yield from (f"  ! {text}" for text in texts)


def summary(state: InstallState) -> Iterator[str]:
    """Returns where a run stands, or what came of it."""
    found = ", ".join(f"{n} {verdict}" for verdict, n in state.verdicts.items() if n)
    yield title(state)
    if state.run and not state.dry:
        yield f"  {amount(state)}" + (f" ({found})" if found else "")
    yield from _problems(state.problems)
    if state.dry:
        yield "Nothing was touched."


def boards(stacks: Mapping[int, InstallStack]) -> Iterator[str]:
    """Returns a line for each stack and for each of its boards."""
    rows = [_cells(board) for one in stacks.values() for board in one.boards]
    grid = Grid(COLUMNS, rows, indent="  ")
    if rows:
        yield text_of(grid.titles())
    for number, stack in sorted(stacks.items()):
        yield f"stack {number}  {_phase(stack)}"
        for board in stack.boards:
            yield from map(text_of, grid.lines(_cells(board)))


def _cells(board: InstallBoard) -> tuple[str, ...]:
    """Returns a board's cells, one for each of ``COLUMNS``."""
    model = board.model.removeprefix("Raspberry ")
    what = " ".join(word for word in (model, board.serial) if word)
    found = _WORDS.get(board.verdict, board.verdict.value)
    found = "answers" if board.verified else found
    return (board.name or "-", board.address, board.mac, what, found)


def _mark(board: InstallBoard) -> str:
    """Returns one character for a board; the words stand in the full table."""
    if board.verified:
        return "✓"
    marks = {InstallVerdict.UNKNOWN: " ", InstallVerdict.OK: "·"}
    return marks.get(board.verdict, "✗")


def _phase(stack: InstallStack) -> str:
    """Returns where a stack stands."""
    good = [one for one in stack.boards if one.verdict is InstallVerdict.OK]
    count = sum(bool(board.mac) for board in good)
    slots = sum(board.slot is not None for board in stack.boards)
    if stack.phase in {ScanPhase.WAITING, ScanPhase.UNTOUCHED}:
        return stack.phase.value
    return f"{stack.phase}  {count} of {slots}"


class RunLog:
    """Prints a line for each thing that happens: for files, pipes, plain terminals."""

    def __init__(self) -> None:
        self._step = ""
        self._away = ""

    def __enter__(self) -> Self:
        """Begins."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Ends; the lines stay where they are."""

    def event(self, event: Event) -> None:
        """Prints a line of the run's history, with its time of day."""
        stamp = time.strftime("%H:%M:%S", time.localtime(event.ts))
        terminal.say(f"{stamp} {event.text}")

    def draw(self, client: RackClient) -> None:
        """Prints the step when it is another one, and who went away or came back."""
        state, missing = client.picture.install, away(client)
        if state is not None and (doing := step(state)) != self._step:
            self._step = doing
            # A dry run finds no board.
            terminal.say(f"-- {'' if state.dry else f'{amount(state)}: '}{doing}")
        if missing != self._away:
            self._away = missing
            terminal.say(f"-- {missing or 'broker and master are back'}")


class RunPicture:
    """Draws the run again and again; gone when it is left."""

    def __init__(self) -> None:
        self._screen = LiveScreen(transient=True)
        self._events: deque[Event] = deque(maxlen=EVENTS)

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._screen.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        """Gives the terminal back."""
        self._screen.__exit__(*reason)

    def event(self, event: Event) -> None:
        """Keeps a line for the next picture."""
        self._events.append(event)

    def draw(self, client: RackClient) -> None:
        """Draws what is known now."""
        room, _ = self._screen.size
        self._screen.draw(lines(client, tuple(self._events), room))


def lines(client: RackClient, events: Iterable[Event], room: int) -> Iterator[Line]:
    """Returns the picture: title, bar, stacks, the stack under scan, what is new.

    Args:
        client: Knows the run.
        events: Newest lines of its history.
        room: Characters of a line.
    """
    picture, state = client.picture, client.picture.install
    if state is None:
        yield line(Piece("waiting for the master", "dim"))
        return
    yield line(Piece(title(state), "bold"))
    full = min(BAR_WIDTH, BAR_WIDTH * state.done // max(1, state.total))
    bar = Piece("━" * full, "green"), Piece("━" * (BAR_WIDTH - full), "dim")
    yield line(*bar, f" {amount(state)}")
    if missing := away(client):
        yield line(Piece(missing, "bold red"))
    yield from _stacks(picture.scanned)
    if state.stack in picture.install_stacks:
        yield from _boards_under_scan(picture.install_stacks[state.stack], room)
    yield from (line(Piece(f"! {one}", "red")) for one in state.problems[-PROBLEMS:])
    yield from (line(Piece(event.text, "dim")) for event in events)


def _stacks(stacks: Mapping[int, InstallStack]) -> Iterator[Line]:
    rows = [(f"stack {number}", _phase(one)) for number, one in stacks.items()]
    grid = Grid(("stack", "phase"), rows)
    for row, stack in zip(rows, stacks.values(), strict=True):
        name, phase = row[0], Piece(row[1], _PHASE_STYLES.get(stack.phase, "dim"))
        (left,) = grid.lines([name, phase])
        marks = (
            Piece(f"  {_mark(one)} {one.name or one.mac}", _style(one))
            for one in stack.boards
        )
        yield (*left, *marks)


def _style(board: InstallBoard) -> str:
    return _MARK_STYLES.get(_mark(board), "dim")


def _boards_under_scan(stack: InstallStack, room: int) -> Iterator[Line]:
    """The boards appear here as they ask."""
    rows = [_cells(board) for board in stack.boards]
    # A narrow terminal shortens what the board is, and nothing else.
    grid = Grid(COLUMNS, rows, room=room, flexible="board")
    yield grid.titles("dim")
    for row in rows:
        yield from grid.lines(row)
