"""Publishes receipts; a last word that finds no broker is given later."""

import logging
from collections import deque

from broker.errors import LinkError, PayloadError
from broker.link import Link
from broker.messages import encode
from broker.topics import Topics
from master_service.commands.effects import Answer

log = logging.getLogger(__name__)

ANSWERS_HELD = 200
"""Last words about commands that wait for the broker; older ones are given up."""


class Answers:
    """The mouth of the master.

    Args:
        link: Sends.
        topics: Of the rack.
    """

    def __init__(self, link: Link, topics: Topics) -> None:
        self._link = link
        self._topics = topics
        self._held: deque[Answer] = deque(maxlen=ANSWERS_HELD)

    def connected(self) -> None:
        """Give the last words that found no broker."""
        held = list(self._held)
        self._held.clear()
        for answer in held:
            self.give(answer)

    def give(self, effect: Answer) -> None:
        """Publish one part of a receipt."""
        route = effect.route
        topic = self._topics.reply(route.scope, route.verb)
        try:
            payload = encode(effect.reply)
            self._link.publish(topic, payload, qos=1)
            # Who waits there, as `mosquitto_rr`, takes the first word for the last.
            if route.response_topic and effect.reply.phase.final:
                self._link.publish(
                    route.response_topic,
                    payload,
                    qos=1,
                    correlation=route.correlation,
                )
        except LinkError as error:
            log.warning("no answer to %s %s: %s", route.scope, route.verb, error)
            if effect.reply.phase.final:
                self._held.append(effect)
        except PayloadError as error:
            log.warning("no answer to %s %s: %s", route.scope, route.verb, error)
