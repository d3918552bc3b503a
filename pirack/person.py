"""Who sits at this terminal, for the rack's history."""

import getpass
import os
import platform


def person() -> str:
    """Return ``user@host``; a user without a name is its number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user in a bare container
        user = f"uid-{os.getuid()}"
    return f"{user}@{platform.node()}"
