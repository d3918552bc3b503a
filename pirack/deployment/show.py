"""How a deployment goes, as plain lines."""

from collections.abc import Sequence

from broker.common.log import printable
from pirack import terminal
from provisioning.deploy.report import LAST, DeployStep, Report


def line(report: Report) -> str:
    """Return one step of one board."""
    label = f"{printable(report.target.label, ''):<16}"
    if report.trouble is not None:
        return printable(f"{label} {report.step}: {report.trouble}: {report.text}")
    node = f"  {report.node}" if report.node else ""
    took = f" in {report.took_s:.1f} s" if report.step in LAST else ""
    text = f"  {printable(report.text)}" if report.text else ""
    return f"{label} {report.step}{took}{node}{text}"


def summary(reports: Sequence[Report]) -> str:
    """Return what came of all, in one line."""
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


class Lines:
    """Prints each step as it comes; leave it as a context."""

    def __enter__(self) -> "Lines":
        """Begin."""
        return self

    def __exit__(self, *reason: object) -> None:
        """End."""

    def __call__(self, report: Report) -> None:
        """Take a step."""
        if report.step is not DeployStep.WAITING:
            terminal.say(
                line(report)
            )  # a reader that goes away (`| head`) ends no install
