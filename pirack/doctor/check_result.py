"""What a check of ``pirack doctor`` found, and what to do about it."""

import enum

import msgspec


class Severity(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, but a person should know."""
    FAIL = "fail"
    """Something will not work until a person acts."""


class CheckResult(msgspec.Struct, frozen=True):
    """One line of the report.

    Args:
        subject: What was looked at, in a word or two.
        advice: What to do; empty where nothing needs doing.
    """

    subject: str
    level: Severity
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> CheckResult:
    """Returns a result that needs no action."""
    return CheckResult(subject, Severity.OK, text)


def warn(subject: str, text: str, advice: str) -> CheckResult:
    """Returns a result that a person should know of."""
    return CheckResult(subject, Severity.WARN, text, advice)


def fail(subject: str, text: str, advice: str) -> CheckResult:
    """Returns a result that stops something from working."""
    return CheckResult(subject, Severity.FAIL, text, advice)
