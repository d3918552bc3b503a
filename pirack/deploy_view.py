"""How a deployment goes: as lines, or as a table that is drawn again."""

from collections.abc import Iterator, Sequence
from typing import Self

from broker.common.log import printable
from pirack import terminal
from pirack.screen import Grid, Line, LiveScreen, Piece
from provisioning.deploy.report import LAST, DeployStep, Report

COLUMNS = ("board", "node", "step", "took", "")
STYLES = {
    DeployStep.DONE: "green",
    DeployStep.UNCHANGED: "green",
    DeployStep.READY: "green",
    DeployStep.FAILED: "bold red",
    DeployStep.AGAIN: "yellow",
    DeployStep.WAITING: "dim",
}
BUSY_STYLE = "cyan"


def report_line(report: Report) -> str:
    """Returns one step of one board."""
    label = f"{printable(report.target.label, ''):<16}"
    if report.trouble is not None:
        return printable(f"{label} {report.step}: {report.trouble}: {report.text}")
    node = f"  {report.node}" if report.node else ""
    took = f" in {report.took_s:.1f} s" if report.step in LAST else ""
    text = f"  {printable(report.text)}" if report.text else ""
    return f"{label} {report.step}{took}{node}{text}"


def summary(reports: Sequence[Report]) -> str:
    """Returns the result of all, in one line."""
    counts = {
        DeployStep.DONE: "installed",
        DeployStep.UNCHANGED: "had it already",
        DeployStep.READY: "ready",
        DeployStep.FAILED: "failed",
    }
    found = [
        (sum(r.step is step for r in reports), text) for step, text in counts.items()
    ]
    told = ", ".join(f"{count} {text}" for count, text in found if count)
    return f"{len(reports)} board{'' if len(reports) == 1 else 's'}: {told}"


class DeployLog:
    """Prints each step as it comes."""

    def __enter__(self) -> Self:
        """Begins."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Ends."""

    def __call__(self, report: Report) -> None:
        """Takes a step."""
        if report.step is not DeployStep.WAITING:
            # A reader that goes away (`| head`) ends no install.
            terminal.say(report_line(report))


class DeployPicture:
    """Draws a row for each board; the last picture stays."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._screen = LiveScreen()

    def __enter__(self) -> Self:
        """Takes the terminal's last lines."""
        self._screen.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        """Leaves the table."""
        self._screen.__exit__(*reason)

    def __call__(self, report: Report) -> None:
        """Takes a step."""
        self._reports[report.target.where] = report
        room, _ = self._screen.size
        self._screen.draw(table(list(self._reports.values()), room))


def table(reports: Sequence[Report], room: int) -> Iterator[Line]:
    """Returns a row for each board, with why it failed if it did.

    Args:
        reports: The newest of each board.
        room: Characters of a line.
    """
    rows = [_cells(report) for report in reports]
    grid = Grid(COLUMNS, rows, right={"took"}, room=room, flexible=COLUMNS[-1])
    yield grid.titles("dim")
    for report, (board, node, step, *rest) in zip(reports, rows, strict=True):
        style = STYLES.get(report.step, BUSY_STYLE)
        yield from grid.lines([board, node, Piece(step, style), *rest])


def _cells(report: Report) -> tuple[str, ...]:
    step = report.trouble if report.step is DeployStep.FAILED else report.step
    took = f"{report.took_s:.1f} s" if report.step in LAST else ""
    board, text = printable(report.target.label, ""), printable(report.text)
    return (board, report.node, str(step), took, text)
