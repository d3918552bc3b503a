"""Runs a program to its end, and no longer than that may take."""

import asyncio
import os
from collections.abc import Mapping, Sequence

from provisioning.errors import BackendError


async def run(
    argv: Sequence[str],
    within_s: float,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Return a program's exit code and all that it said.

    Args:
        argv: Program and arguments.
        within_s: How long it may take, seconds; it is killed then.
        environment: Variables it needs beside ours.

    Raises:
        BackendError: It cannot be run, or takes longer.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        text = f"{argv[0]} cannot be run: {error.strerror}"
        raise BackendError(text) from error
    try:
        async with asyncio.timeout(within_s):
            said, _ = await process.communicate()
    except TimeoutError as error:
        text = f"{' '.join(argv)} was not done within {within_s:g} s"
        raise BackendError(text) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # its pipe too is closed then
    return await process.wait(), said.decode(errors="replace").strip()
