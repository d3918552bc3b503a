"""Answers questions about the history: what is asked of disk, and sent in parts."""

import logging
import sqlite3
from collections.abc import Callable

from broker.messages import Phase
from master_service.commands import history
from master_service.commands.effects import Answer, Moment, ReadEvents
from master_service.store import Store

log = logging.getLogger(__name__)


class Historian:
    """Reads the event log.

    Args:
        store: Where it is.
        moment: Both clocks.
    """

    def __init__(self, store: Store, moment: Callable[[], Moment]) -> None:
        self._store = store
        self._moment = moment

    async def answer(self, question: ReadEvents, say: Callable[[Answer], None]) -> None:
        """Answer one question.

        Args:
            question: What is asked.
            say: Publishes a part of the answer.
        """
        asked = question.asked
        try:
            # What happened a moment ago is still queued.
            await self._store.commit()
            events = await self._store.events(question.query)
        except (sqlite3.Error, OSError) as error:
            log.exception("the history cannot be read")
            text = f"the history cannot be read: {error}"
            failed = asked.reply(Phase.FAILED, ok=False, error=text)
            say(Answer(failed, asked.route))
            return
        took_s = self._moment().now - asked.at.now
        for reply in history.replies(asked, events, took_s):
            say(Answer(reply, asked.route))
