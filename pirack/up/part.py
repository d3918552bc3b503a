"""Entry of a part that ``pirack up`` starts: bind to the supervisor, then be a command.

``python -m pirack.up.part <supervisor pid> <sub-command> …``
"""

import sys

from pirack.up.orphan import end_with_parent


def main(argv: list[str]) -> int:
    """Run a sub-command of ``pirack`` that ends with its supervisor."""
    end_with_parent(int(argv[0]))
    from pirack.cli import main as run  # noqa: PLC0415  # only once we may live

    return run(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
