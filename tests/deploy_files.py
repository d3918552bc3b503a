"""The shipped units and rules, as tests read them."""

from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"


def text(name: str) -> str:
    """Return the text of a file below ``deploy/``."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def settings(name: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with its values."""
    found: dict[str, list[str]] = {}
    for line in text(name).splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found
