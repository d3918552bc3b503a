"""Waiting for the first of several things, or not for ever."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first(*waiting: Coroutine[None, None, Any]) -> list[Any]:
    """Wait for one of several; return its result in its place, None for the others.

    Raises:
        Exception: What the first one raised.
    """
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return [task.result() if task.done() else None for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def within(waiting: Coroutine[None, None, T], timeout_s: float) -> T | None:
    """Wait for something, at most ``timeout_s``; None when the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            return await waiting
    except TimeoutError:
        return None
