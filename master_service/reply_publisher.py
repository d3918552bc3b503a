"""Publishes replies to commands.

A reply tells what failed among the effects before it: ``ListErrors``.
"""

import logging
from collections import deque

import msgspec

from broker.client.link import Link
from broker.common.errors import ContractError, LinkError
from broker.common.log import RateLimited
from broker.contract.messages import Phase, Reply, TargetRow, encode
from broker.contract.topics import Topics
from master_service.rack.effects import Commit, Effect, Persist, SendReply
from master_service.rack.records import CommandBegun, OutletRecord, PartRecord

log = logging.getLogger(__name__)

HELD_AT_MOST = 200
"""Last replies to commands that wait for the broker; older ones are given up."""


_MUST_BE_KEPT = (CommandBegun, OutletRecord, PartRecord)
"""Rows without which nothing that follows them may begin."""


class ListErrors:
    """What went wrong in one list of effects, until a reply has told it."""

    __slots__ = ("not_on_disk", "obstacle", "unkept", "untold")

    def __init__(self) -> None:
        self.untold = ""
        self.unkept = ""
        self.obstacle = ""
        """Why what follows the last commit must not begin; empty: it may."""
        self.not_on_disk: dict[str, str] = {}
        """Commands whose rows could not be written, and why."""

    def note(self, effect: Effect, error: Exception) -> str:
        """Remembers that an effect failed; returns it in words."""
        what = type(effect).__name__
        if isinstance(effect, Persist):
            what += f" of {type(effect.row).__name__}"
        why = f"the master failed at {what}: {error!r}"
        self.untold = self.untold or why
        if isinstance(effect, Persist) and isinstance(effect.row, _MUST_BE_KEPT):
            self.unkept = self.unkept or why
        return why

    def committed(self, effect: Commit, why: str) -> None:
        """Takes the result of a commit.

        Args:
            effect: The commit.
            why: Why it failed; empty: it did not.
        """
        why, self.unkept = why or self.unkept, ""
        self.obstacle = why and f"not begun: it could not be put on disk first: {why}"
        if why and effect.command:
            self.not_on_disk[effect.command] = why

    def told(self, reply: Reply) -> Reply | None:
        """Returns a reply with what failed before it; None if it must not be sent."""
        if why := self.not_on_disk.get(reply.id):
            return _not_on_disk(reply, why)
        if not self.untold or not reply.phase.final:
            return reply
        phase = Phase.FAILED if reply.phase is Phase.DONE else reply.phase
        why, self.untold = self.untold, ""
        error = f"{reply.error}; {why}" if reply.error else why
        return msgspec.structs.replace(reply, phase=phase, ok=False, error=error)


class ReplyPublisher:
    """Publishes replies; a last one that finds no broker is published later."""

    def __init__(self, link: Link, topics: Topics) -> None:
        self._link = link
        self._topics = topics
        self._held: deque[SendReply] = deque(maxlen=HELD_AT_MOST)
        self._unsent = RateLimited(log)
        self._given_up = RateLimited(log, every_s=60.0)

    @property
    def lost(self) -> int:
        """Last replies that were given up since the start."""
        return self._given_up.count

    def publish_held(self) -> None:
        """Publishes the last replies that found no broker, or no place in its queue."""
        while self._held and self._link.connected:
            if not self._sent(self._held[0]):
                return
            self._held.popleft()

    def publish(self, answer: SendReply) -> None:
        """Publishes one part of a reply, or keeps it for later if it is the last."""
        if not self._sent(answer) and answer.reply.phase.final:
            if len(self._held) == HELD_AT_MOST:
                most = HELD_AT_MOST
                self._given_up.say("%d replies wait for the broker already", most)
            self._held.append(answer)

    def _sent(self, answer: SendReply) -> bool:
        """Publishes; returns False if it should be tried again."""
        route, final = answer.route, answer.reply.phase.final
        topic = route.topic or self._topics.reply(route.scope, route.verb)
        try:
            payload = encode(answer.reply)
            self._link.publish(topic, payload, qos=1)
            # A client that waits there, as `mosquitto_rr` does, takes the first message
            # for the last.
            if route.response_topic and final:
                self._link.publish(
                    route.response_topic,
                    payload,
                    qos=1,
                    correlation=route.correlation,
                )
        except (LinkError, ContractError) as error:
            self._unsent.say("no answer to %s %s: %s", route.scope, route.verb, error)
            return isinstance(error, ContractError)
        return True


def _not_on_disk(reply: Reply, why: str) -> Reply | None:
    """Returns a last reply that says what is not on disk; None for any other."""
    if not reply.phase.final:
        return None
    error = f"it is not on disk and is lost if the master restarts now: {why}"
    rows = tuple(_row_not_on_disk(row, error) for row in reply.targets)
    return msgspec.structs.replace(
        reply,
        phase=Phase.FAILED if reply.phase is Phase.DONE else reply.phase,
        ok=False,
        verified=False,
        error=reply.error or error,
        targets=rows,
    )


def _row_not_on_disk(row: TargetRow, error: str) -> TargetRow:
    if row.phase is not Phase.DONE:
        return row
    return msgspec.structs.replace(
        row, phase=Phase.FAILED, verified=False, error=row.error or error
    )
