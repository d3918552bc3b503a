"""Entry of a part that ``pirack up`` starts: ends with it, and is a sub-command.

``python -m pirack.up.child_main <supervisor pid> <sub-command> …``
"""

import signal
import sys

from broker.common.die_with_parent import die_with


def main(argv: list[str]) -> int:
    """Runs a sub-command of ``pirack`` that ends with its supervisor.

    By SIGKILL: a part that hangs or is stopped must not outlive the rack either.
    """
    die_with(int(argv[0]), signal.SIGKILL)
    from pirack.cli import main as run  # noqa: PLC0415  # only once we may live

    return run(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
