"""Lines for a terminal, a file or a pipe: aligned, fitted, coloured, drawn again.

What is shown is made once, as lines of pieces with styles. A pipe gets their text; a
terminal gets their colours, too, and in a live picture each draws over the one before.
"""

import importlib.util
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from broker.common.log import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP = "  "
"""Between two columns."""
FLEXIBLE_LEAST = 16
"""Characters that the flexible column keeps before others are left out."""


class Piece(msgspec.Struct, frozen=True):
    """A text in one style: words of rich, as ``bold red``."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


def line(*pieces: str | Piece) -> Line:
    """Returns a line of plain and styled pieces."""
    return tuple(Piece(one) if isinstance(one, str) else one for one in pieces)


def text_of(line: Line) -> str:
    """Returns a line as plain text without control characters."""
    return printable("".join(piece.text for piece in line), "").rstrip()


class Grid:
    """Aligns the cells of a table, in a width if there is one.

    Args:
        head: Names of the columns.
        rows: All cells, for the widths.
        right: Columns that are aligned to the right.
        indent: Stands before each line.
        room: Characters of a line; None where lines may be as long as they like.
        drops: What a narrow line goes without, the first first.
        flexible: The column that gets what is left of a line: the last one is wrapped
            there, another one cut.
    """

    def __init__(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        right: Collection[str] = (),
        indent: str = "",
        room: int | None = None,
        drops: Sequence[str] = (),
        flexible: str = "",
    ) -> None:
        self._head = head
        self._right = right
        self._indent = indent
        self._flexible = flexible
        columns = zip(head, *rows, strict=True)
        self.widths = {texts[0]: max(map(len, texts)) for texts in columns}
        """Of the columns that are shown, by name."""
        if room is None:
            return
        widths, wanted = self.widths, self.widths.get(flexible, 0)
        if wanted:
            widths[flexible] = min(wanted, FLEXIBLE_LEAST)
        for name in drops:
            if self._left(room) >= 0:
                break
            del widths[name]
        if wanted:
            widths[flexible] = min(wanted, widths[flexible] + max(0, self._left(room)))

    def _left(self, room: int) -> int:
        gaps = len(GAP) * (len(self.widths) - 1)
        return room - len(self._indent) - sum(self.widths.values()) - gaps

    def titles(self, style: str = "") -> Line:
        """Returns the line with the names of the columns."""
        (only,) = self.lines([Piece(name, style) for name in self._head])
        return only

    def lines(self, cells: Sequence[str | Piece]) -> Iterator[Line]:
        """Returns the line of a row; more where its last cell is wrapped."""
        parts: list[Piece] = []
        more: list[str] = []
        last = self._head[-1]
        for name, cell in zip(self._head, line(*cells), strict=True):
            if name not in self.widths:
                continue
            width, text = self.widths[name], cell.text
            if name == self._flexible == last and len(text) > width:
                text, *more = textwrap.wrap(text, width)
            elif len(text) > width:
                text = text[: width - 1] + "…"
            padded = text.rjust(width) if name in self._right else text.ljust(width)
            parts.append(Piece(GAP if parts else self._indent))
            parts.append(Piece(padded, cell.style))
        yield tuple(parts)
        before = sum(len(part.text) for part in parts[:-1])
        yield from (line(" " * before, one) for one in more)


def span(seconds: float) -> str:
    """Returns a duration as the page has it: ``42 s``, ``7 min``, ``3 h``, ``9 d``."""
    whole = max(0, int(seconds))
    for unit_s, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if whole >= unit_s:
            return f"{whole // unit_s} {name}"
    return f"{whole} s"


def is_redrawable() -> bool:
    """Whether standard output is a terminal that pictures can be drawn on again."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


class LiveScreen:
    """Draws lines over the ones before, inside ``with``; needs ``is_redrawable``.

    Args:
        whole: Takes the whole terminal, and gives it back as it was.
        transient: Leaves nothing behind.
        console: Where it is drawn; None for standard output.
    """

    def __init__(
        self,
        *,
        whole: bool = False,
        transient: bool = False,
        console: "Console | None" = None,
    ) -> None:
        from rich.console import Console  # noqa: PLC0415  # an extra
        from rich.live import Live  # noqa: PLC0415  # an extra

        self._console = console or Console()
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            screen=whole,
            transient=transient,
        )

    @property
    def size(self) -> tuple[int, int]:
        """Characters of a line, and lines."""
        return self._console.size

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Leaves the terminal as it was, or with the last lines on it."""
        self._live.stop()

    def draw(self, lines: Iterable[Line]) -> None:
        """Draws lines in the place of the ones before."""
        from rich.console import Group  # noqa: PLC0415  # an extra

        group = Group(*(_coloured(one, cut=True) for one in lines))
        self._live.update(group, refresh=True)

    def leave(self, lines: Iterable[Line]) -> None:
        """Prints lines in whole, above or after the picture."""
        for one in lines:
            self._console.print(_coloured(one), soft_wrap=True)


def show(lines: Iterable[Line], *, coloured: bool) -> None:
    """Prints lines; ``coloured`` needs ``is_redrawable``."""
    if not coloured:
        print("\n".join(map(text_of, lines)), flush=True)
        return
    from rich.console import Console  # noqa: PLC0415  # an extra

    console = Console()
    for one in lines:
        console.print(_coloured(one), soft_wrap=True)


def width() -> int:
    """Returns the width of the terminal; needs ``is_redrawable``."""
    from rich.console import Console  # noqa: PLC0415  # an extra

    return Console().size.width


def _coloured(line: Line, *, cut: bool = False) -> "Text":
    from rich.text import Text  # noqa: PLC0415  # an extra

    text = Text(no_wrap=True, overflow="ellipsis" if cut else "ignore")
    for piece in line:
        text.append(printable(piece.text, ""), style=piece.style or None)
    text.rstrip()
    return text
