"""Waiting, but not for ever."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def within(waiting: Coroutine[None, None, T], timeout_s: float) -> T | None:
    """Wait for something, at most ``timeout_s``; None when the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            return await waiting
    except TimeoutError:
        return None
