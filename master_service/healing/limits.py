"""What holds for the rack as a whole: share, breaker, budgets; pure."""

from master_service.rack.settings import HealSettings
from master_service.rack.times import words

DAY_S = 86_400.0


class Ward:
    """How much was done in the rack, and whether more may be.

    Args:
        settings: ``[heal]``.
    """

    def __init__(self, settings: HealSettings) -> None:
        self._settings = settings
        self._spent: dict[str, list[float]] = {}
        self._failures = 0
        self._open_until = 0.0

    def spend(self, node_id: str, wall: float) -> None:
        """Take that a step was made on a board.

        Args:
            node_id: Its id.
            wall: Unix time, seconds.
        """
        self._spent.setdefault(node_id, []).append(wall)

    def clock_set(self, step_s: float) -> None:
        """Moves the steps that were made with the clock.

        Args:
            step_s: By how much the wall clock was set, seconds.
        """
        for spent in self._spent.values():
            spent[:] = [at + step_s for at in spent]

    def today(self, node_id: str, wall: float) -> int:
        """Return how many steps were made on a board within 24 hours."""
        spent = [at for at in self._spent.get(node_id, ()) if wall - at < DAY_S]
        if spent:
            self._spent[node_id] = spent
        else:
            self._spent.pop(node_id, None)
        return len(spent)

    def helped(self) -> None:
        """Take that a board is well again after a step."""
        self._failures = 0

    def failed(self, now: float) -> str:
        """Take that nothing helped a board; return what the breaker says to it.

        Args:
            now: Monotonic seconds.
        """
        self._failures += 1
        if self._failures < self._settings.breaker:
            return ""
        in_a_row, self._failures = self._failures, 0
        self._open_until = now + self._settings.breaker_s
        rest = words(self._settings.breaker_s)
        return f"{in_a_row} boards in a row were not helped; it stops for {rest}"

    def hold(self, *, sick: int, whole: int, now: float) -> str:
        """Say why nothing at all is done now; empty: something may be.

        Args:
            sick: Boards that are hung, lost or without power.
            whole: Boards that were ever heard.
            now: Monotonic seconds.
        """
        if now < self._open_until:
            return f"stopped for another {words(self._open_until - now)}"
        if sick > self.share(whole):
            percent = self._settings.max_percent
            return (
                f"{sick} of {whole} boards are bad, more than {percent:g} %: "
                "look for a cause they share"
            )
        return ""

    def room(self, *, hit: int, under_way: int, whole: int) -> bool:
        """Whether so many more boards may be interrupted; one outlet always may.

        Args:
            hit: Boards that would be.
            under_way: Boards that are.
            whole: Boards that were ever heard.
        """
        return under_way == 0 or under_way + hit <= self.share(whole)

    def share(self, whole: int) -> int:
        """Return how many boards may be bad, or interrupted, at a time."""
        return max(1, int(whole * self._settings.max_percent / 100))
