"""What the dashboard knows of one node."""

from broker.contract.messages import Details, Heartbeat, NodeState, Status
from dashboard.live.tile import Levels, Tile, make_tile
from dashboard.server.settings import Thresholds

HISTORY_SAMPLES = 36
HISTORY_STEP_S = 5.0
"""36 samples 5 s apart: the three minutes of a sparkline."""
NO_SAMPLE = 255


class Record:
    """One node: the latest of everything said by or about it.

    Args:
        node: Node id.
        index: Its number in the rows sent to browsers; never used again for another.
    """

    __slots__ = (
        "beat",
        "confirmed",
        "details",
        "heard_at",
        "history",
        "id",
        "index",
        "levels",
        "state",
        "status",
        "tile",
        "tile_since",
    )

    def __init__(self, node: str, index: int) -> None:
        self.id = node
        self.index = index
        self.state: NodeState | None = None
        self.details: Details | None = None
        self.status: Status | None = None
        self.beat: Heartbeat | None = None
        self.heard_at: float | None = None
        self.confirmed = True
        self.levels = Levels()
        self.tile: Tile | None = None
        self.tile_since = 0.0
        self.history = bytearray([NO_SAMPLE]) * HISTORY_SAMPLES

    @property
    def name(self) -> str:
        """Display name; the hostname or the id until the master gives one."""
        if self.state is not None:
            return self.state.name
        return self.details.hostname if self.details is not None else self.id

    @property
    def known(self) -> bool:
        """Whether anything is left to show."""
        parts = (self.state, self.details, self.status, self.beat)
        return any(part is not None for part in parts)

    @property
    def cpu_mean(self) -> float | None:
        """Processor use over the whole sparkline, percent; None if it has gaps."""
        if NO_SAMPLE in self.history:
            return None
        return sum(self.history) / len(self.history)

    def sample(self) -> None:
        """Move the sparkline on by one step."""
        del self.history[0]
        live = self.tile is not None and self.tile.cpu >= 0
        self.history.append(self.tile.cpu if live and self.tile else NO_SAMPLE)

    def judge(self, limits: Thresholds, wall: float) -> Tile:
        """Work out the tile again, and remember when its state began.

        Args:
            limits: The rack's thresholds.
            wall: Unix time now, seconds.
        """
        tile = make_tile(
            state=self.state,
            details=self.details,
            status=self.status,
            beat=self.beat,
            limits=limits,
            before=self.levels,
            cpu_mean=self.cpu_mean,
            confirmed=self.confirmed,
        )
        if self.tile is None or self.tile.state is not tile.state:
            self.tile_since = wall
        self.levels = tile.levels
        self.tile = tile
        return tile
