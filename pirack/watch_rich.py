"""The table in colour, drawn with rich; imported only where rich is installed."""

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pirack import table
from pirack.mirror import Mirror, Row
from pirack.table import AWAITED, NUMBERS, WELL

FRAME_LINES = 6
"""What title, head and borders take of the terminal's height."""
INDENT = "  "
WELL_STYLE = "green"
AWAITED_STYLE = "yellow"
BAD_STYLE = "bold red"


def style(row: Row) -> str:
    """Return the colour of a node; the words beside it say the same."""
    if row.state.verdict in WELL:
        return BAD_STYLE if row.state.faults else WELL_STYLE
    return AWAITED_STYLE if row.state.verdict in AWAITED else BAD_STYLE


def picture(mirror: Mirror, now: float, width: int, height: int) -> RenderableType:
    """Return the rack: a row a node where that fits, else a line a stack.

    Args:
        mirror: What is known.
        now: Unix time, seconds.
        width: Characters of a line of the terminal.
        height: Lines of the terminal.
    """
    groups = table.by_stack(mirror.rows())
    head = Text(table.title(mirror), style="bold")
    lines = sum(len(rows) + 1 for rows in groups.values())
    fits = lines + FRAME_LINES <= height
    return Group(head, _rows(mirror, now, width) if fits else _stacks(mirror))


def _rows(mirror: Mirror, now: float, width: int) -> RenderableType:
    """A grid for each stack, all of the same widths: no heading widens a column."""
    groups = table.by_stack(mirror.rows())
    texts = {row.state.id: table.cells(row, now) for row in mirror.rows()}
    wide = table.widths(texts.values())
    wide["node"] += len(INDENT)
    shown = table.fitting(wide, width)
    head = _grid(shown, wide)
    head.add_row(*shown, style="dim")
    parts: list[RenderableType] = [head]
    for stack, rows in groups.items():
        parts.append(Text(table.heading(stack, mirror), style="dim"))
        grid = _grid(shown, wide)
        for row in rows:
            said = dict(zip(table.HEAD, texts[row.state.id], strict=True))
            said["node"] = INDENT + said["node"]
            verdict = Text(said["verdict"], style=style(row))
            grid.add_row(*(verdict if n == "verdict" else said[n] for n in shown))
        parts.append(grid)
    return Group(*parts)


def _grid(shown: tuple[str, ...], wide: Mapping[str, int]) -> Table:
    grid = Table(box=None, pad_edge=False, show_header=False)
    for name in shown:
        grid.add_column(
            justify="right" if name in NUMBERS else "left",
            width=None if name == "reason" else wide[name],
            no_wrap=name != "reason",
        )
    return grid


def _stacks(mirror: Mirror) -> Table:
    """Each node is its name in its colour, and its verdict where it is not online."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    for stack, rows in table.by_stack(mirror.rows()).items():
        line = Text()
        for row in rows:
            told = "" if row.state.verdict in WELL else f" {row.state.verdict}"
            line.append(f"{row.state.name}{told}  ", style=style(row))
        grid.add_row(Text(table.heading(stack, mirror), style="dim"), line)
    return grid


class Screen:
    """A live picture of the rack in the terminal; leave it as a context.

    Args:
        mirror: What is drawn.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False, screen=True)

    def __enter__(self) -> "Screen":
        """Take the terminal over."""
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Give the terminal back as it was."""
        self._live.stop()

    def draw(self, now: float) -> None:
        """Draw what is known now."""
        size = self._console.size
        drawn = picture(self._mirror, now, size.width, size.height)
        self._live.update(drawn, refresh=True)


def print_once(mirror: Mirror, now: float) -> None:
    """Print the whole table in colour."""
    console = Console()
    console.print(picture(mirror, now, console.size.width, height=10**6))
