"""A plugin of pytest that writes each result as a line of JSON, as it comes.

``PI_REPORT`` names the file or terminal; on a board it is a serial line of its own,
which no message of the kernel gets into.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

MOST_TEXT = 6000
"""The end of a traceback; a serial line is slow."""
_REPORT = Path(os.environ["PI_REPORT"]).open("a", buffering=1)  # noqa: SIM115  # for good
"""Open until the end: each opening sets a serial line up anew, which takes 0.1 s."""


def say(**values: object) -> None:
    _REPORT.write(json.dumps(values) + "\n")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    decided = report.when == "call" or report.outcome != "passed"
    if decided:
        outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        text = "" if outcome in {"passed", "xfailed"} else str(report.longrepr)
        say(
            name=report.nodeid,
            outcome=f"{outcome} ({report.when})" if report.when != "call" else outcome,
            at_s=round(time.monotonic(), 2),
            seconds=round(report.duration, 2),
            text=(text + report.capstderr + report.caplog)[-MOST_TEXT:] if text else "",
        )


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        say(name=report.nodeid, outcome="not collected", text=str(report.longrepr))


def pytest_unconfigure() -> None:
    _REPORT.close()
