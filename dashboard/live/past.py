"""Asks the master for the rack's recent history, so that a fresh page is not blank."""

from collections.abc import Callable

from broker.client.link import Link
from broker.contract.messages import Command, Reply, Status, encode
from broker.contract.topics import Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from dashboard.live.model import RackModel

LINES = 200
"""Lines asked for: what the side column folds and the Activity page begins with."""
PATIENCE_S = 10.0
"""Seconds after which an unanswered question is put again."""


class HistoryLoader:
    """Asks once for each life of the broker's connection and of the master.

    Args:
        topics: The rack's topics.
        model: Gets the lines.
        clock: Monotonic time, seconds.
        new_id: Makes command ids.
    """

    def __init__(
        self,
        topics: Topics,
        model: RackModel,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.link: Link | None = None
        self._topic = topics.command(Scope(ScopeKind.RACK), Verb.EVENTS)
        self._model = model
        self._clock = clock
        self._new_id = new_id
        self._asked = ""
        self._again_at = 0.0
        self._known = False

    def forget(self) -> None:
        """Asks again: lines may have been missed."""
        self._known = False
        self._again_at = 0.0

    def tick(self) -> None:
        """Asks if something may be missing and somebody can answer."""
        if self._model.master is not Status.ONLINE:
            self.forget()
            return
        now = self._clock()
        if self._known or now < self._again_at:
            return
        if self.link is None or not self.link.connected:
            return
        self._asked = self._new_id()
        self._again_at = now + PATIENCE_S
        command = Command(id=self._asked, args=(f"limit={LINES}",))
        self.link.publish(self._topic, encode(command), qos=1)

    def answer(self, reply: Reply) -> None:
        """Take the lines of an answer to our question; other answers are ignored."""
        if not self._asked or reply.id != self._asked:
            return
        if reply.phase.final:
            self._known = True
        self._model.recall(reply.events)
