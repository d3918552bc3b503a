"""Runs a program of a DHCP server to its end."""

import os
from collections.abc import Mapping, Sequence

from broker.common.processes import run_once
from provisioning.errors import BackendError

KEPT_BYTES = 16 * 1024


async def run(
    argv: Sequence[str],
    within_s: float,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Return a program's exit code and the end of all that it said.

    Args:
        argv: Program and arguments.
        within_s: How long it may take, seconds; it is killed then.
        environment: Variables it needs beside ours.

    Raises:
        BackendError: It cannot be run, or takes longer.
    """
    env = {**os.environ, **(environment or {})}
    finished = await run_once(
        argv, within_s, env=env, stdout_bytes=KEPT_BYTES, merged=True
    )
    if finished.timed_out:
        text = f"{' '.join(argv)} was not done within {within_s:g} s"
        raise BackendError(text)
    if finished.exit_code is None:
        raise BackendError(finished.error)
    return finished.exit_code, finished.stdout.strip()
