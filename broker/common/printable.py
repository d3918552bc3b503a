"""Makes text from a node or another program safe to print on a terminal or into a log.

A terminal obeys control characters: a board could retitle the window, clear the screen,
or show a line that reads otherwise than it is (bidirectional overrides).
"""

KEPT = "\n\t"
"""Control characters that text of several lines needs."""


def printable(text: str, keep: str = KEPT) -> str:
    r"""Return a text with every character visible that a terminal would obey or hide.

    Args:
        text: Anything.
        keep: Control characters that stay; empty for text of one line.

    Returns:
        The text, with escapes such as ``\x1b`` and ``\u202e`` in their place.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else _visible(char) for char in text
    )


def printable_json(text: str) -> str:
    """Return JSON that means the same and has no character that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in KEPT else _escaped(char) for char in text
    )


def _visible(char: str) -> str:
    if char.isspace() and char not in "\r\n\t\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "  # a space of another width, or one that does not break
    return char.encode("unicode_escape").decode("ascii")


def _escaped(char: str) -> str:
    """Return a character as JSON escapes it: UTF-16 units."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
