"""The run as a live picture, drawn with rich; imported only where rich is installed."""

from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.contract.messages import Event, InstallStack, ScanPhase
from pirack.install import picture
from pirack.install.progress import Progress

BAR_WIDTH = 40
EVENTS = 4
"""Lines of history below the table."""
PROBLEMS = 6
"""Newest problems shown while it runs; all of them are printed at its end."""
_STYLES = {
    ScanPhase.SCANNING: "bold yellow",
    ScanPhase.PLACED: "cyan",
    ScanPhase.VERIFIED: "green",
    ScanPhase.PROBLEMS: "bold red",
}
_MARKS = {"✓": "green", "·": "cyan", "✗": "bold red"}


class RichScreen:
    """A live picture in the terminal; gone when it is left.

    Args:
        console: Where it is drawn.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._events: deque[Event] = deque(maxlen=EVENTS)

    def __enter__(self) -> "RichScreen":
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Give the terminal back."""
        self._live.stop()

    def event(self, event: Event) -> None:
        """Keep a line for the next picture."""
        self._events.append(event)

    def draw(self, progress: Progress) -> None:
        """Draw what is known now."""
        self._live.update(drawn(progress, tuple(self._events)), refresh=True)


def drawn(progress: Progress, events: tuple[Event, ...]) -> RenderableType:
    """Return the picture: title, bar, stacks, the stack under scan, what is new."""
    state = progress.state
    if state is None:
        return Text("waiting for the master's word", style="dim")
    bar = ProgressBar(total=max(1, state.total), completed=state.done, width=BAR_WIDTH)
    line = Table.grid(padding=(0, 1))
    line.add_row(bar, picture.amount(state))
    parts: list[RenderableType] = [Text(picture.title(state), style="bold"), line]
    parts += [Text(progress.away, style="bold red")] if progress.away else []
    parts.append(_stacks(progress))
    scanned = progress.stacks.get(state.stack) if state.stack is not None else None
    parts += [_boards(scanned)] if scanned is not None else []
    parts += [Text(f"! {one}", style="red") for one in state.problems[-PROBLEMS:]]
    parts += [Text(event.text, style="dim") for event in events]
    return Group(*parts)


def _stacks(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 2))
    for number, stack in progress.touched.items():
        boards = Text()
        for board in stack.boards:
            mark = picture.mark(board)
            name = board.name or board.mac
            boards.append(f"{mark} {name}  ", style=_MARKS.get(mark, "dim"))
        words = Text(picture.phase(stack), style=_STYLES.get(stack.phase, "dim"))
        grid.add_row(f"stack {number}", words, boards)
    return grid


def _boards(stack: InstallStack) -> Table:
    """The boards of the stack under scan appear here as they ask."""
    grid = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for name in picture.HEAD:
        # A narrow terminal shortens what the board is, and nothing else.
        grid.add_column(name, no_wrap=True, ratio=1 if name == "board" else None)
    for board in stack.boards:
        grid.add_row(*picture.row(board))
    return grid
