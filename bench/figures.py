"""A figure, what it is measured against, and the table that shows both."""

import enum
import math
from collections.abc import Sequence

import msgspec


class Sense(enum.StrEnum):
    """Which side of the bound is the good one."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


class Target(msgspec.Struct, frozen=True):
    """What a figure must reach.

    Args:
        sense: Which side of the bound is good.
        bound: In the figure's unit, or a share of the rival named by ``of``.
        of: Rival whose value the bound is a share of; empty for an absolute bound.
    """

    sense: Sense
    bound: float
    of: str = ""

    def holds(self, value: float, beside: dict[str, float]) -> bool:
        """Whether ``value`` is on the good side."""
        bound = self.bound * beside[self.of] if self.of else self.bound
        return value <= bound if self.sense is Sense.AT_MOST else value >= bound

    def text(self, unit: str) -> str:
        """Returns the target as it stands in the table."""
        if self.of:
            return f"{self.sense} {self.bound:.0%} of {self.of}"
        return f"{self.sense} {shown(self.bound, unit)}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured figure.

    Args:
        case: The measurement it comes from.
        what: What was measured, in words.
        ours: The value.
        unit: Of the value and of everything beside it.
        beside: Floors and rivals by name, measured in the same run.
        target: What it must reach; None for a figure that is only told.
        note: What a reader must know to judge it.
    """

    case: str
    what: str
    ours: float
    unit: str
    beside: dict[str, float] = msgspec.field(default_factory=dict)
    target: Target | None = None
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.target.holds(self.ours, self.beside)


def at_most(bound: float) -> Target:
    """Returns a target that wants no more than ``bound``."""
    return Target(Sense.AT_MOST, bound)


def at_least_share(share: float, rival: str) -> Target:
    """Returns a target that wants at least a share (0 to 1) of a rival's value."""
    return Target(Sense.AT_LEAST, share, rival)


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns the smallest value that ``percent`` of all values do not exceed.

    Nearest rank, without interpolation: a p99 is a value that was really measured.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        text = "no values were measured; a percentile needs at least one"
        raise ValueError(text)
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def shown(value: float, unit: str) -> str:
    """Returns a value with three significant digits and its unit."""
    if math.isinf(value):
        return "none"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    number = f"{value:,.{min(digits, 3)}f}"
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}".rstrip()


_HEAD = ("case", "figure", "ours", "beside it, same run", "target", "holds")
_VERDICTS = {True: "yes", False: "NO", None: "-"}


def table(figures: Sequence[Figure]) -> str:
    """Returns all figures as a Markdown table that also reads well in a terminal."""
    rows = [_HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def notes(figures: Sequence[Figure]) -> str:
    """Returns what must be known to judge the figures, one line each."""
    return "\n".join(
        f"- {figure.case}, {figure.what}: {figure.note}"
        for figure in figures
        if figure.note
    )


def _row(figure: Figure) -> tuple[str, ...]:
    beside = [
        f"{name} {shown(value, figure.unit)}" for name, value in figure.beside.items()
    ]
    return (
        figure.case,
        figure.what,
        shown(figure.ours, figure.unit),
        ", ".join(beside) or "-",
        figure.target.text(figure.unit) if figure.target else "-",
        _VERDICTS[figure.holds],
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
