"""A loop in which no time is waited for: it jumps to what comes next."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

Virtually = Callable[[Coroutine[Any, Any, Any]], Any]


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: time jumps to where the loop would have waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for something else, for ever"
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401  # whatever it returns
    """Run a coroutine in no time at all."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(coroutine)
