"""How a deployment goes, as a live table; imported only where rich is installed."""

from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from broker.common.log import printable
from pirack.deployment.show import line
from provisioning.deploy.report import LAST, DeployStep, Report

STYLES = {
    DeployStep.DONE: "green",
    DeployStep.UNCHANGED: "green",
    DeployStep.READY: "green",
    DeployStep.FAILED: "bold red",
    DeployStep.AGAIN: "yellow",
    DeployStep.WAITING: "dim",
}
BUSY = "cyan"


class Screen:
    """A row for each board, and below it why some failed; leave it as a context."""

    def __init__(self) -> None:
        self._rows: dict[str, Report] = {}
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> "Screen":
        """Take the terminal's last lines."""
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        """Leave the table, and say in whole what did not fit into it."""
        self._live.stop()
        for report in self._rows.values():
            if report.step is DeployStep.FAILED:
                text = Text(line(report), style=STYLES[DeployStep.FAILED])
                self._console.print(text, soft_wrap=True)

    def __call__(self, report: Report) -> None:
        """Take a step."""
        self._rows[report.target.where] = report
        self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """Return all boards."""
        grid = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        for name in ("board", "node", "step", "took"):
            side: JustifyMethod = "right" if name == "took" else "left"
            grid.add_column(name, justify=side, no_wrap=True)
        grid.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for report in self._rows.values():
            step = report.trouble if report.step is DeployStep.FAILED else report.step
            grid.add_row(
                printable(report.target.label, ""),
                report.node,
                Text(str(step), style=STYLES.get(report.step, BUSY)),
                f"{report.took_s:.1f} s" if report.step in LAST else "",
                printable(report.text),
            )
        return grid
