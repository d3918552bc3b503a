"""What a check found, and what to do about it."""

import enum

import msgspec


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, but a person should know."""
    FAIL = "fail"
    """Something will not work until a person acts."""


class Finding(msgspec.Struct, frozen=True):
    """One line of the report.

    Args:
        subject: What was looked at, in a word or two.
        level: How bad it is.
        text: What is so.
        advice: What to do; empty where nothing needs doing.
    """

    subject: str
    level: Level
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    """Returns a finding that needs nobody."""
    return Finding(subject, Level.OK, text)


def warn(subject: str, text: str, advice: str) -> Finding:
    """Returns a finding that a person should know of."""
    return Finding(subject, Level.WARN, text, advice)


def fail(subject: str, text: str, advice: str) -> Finding:
    """Returns a finding that stops something from working."""
    return Finding(subject, Level.FAIL, text, advice)
