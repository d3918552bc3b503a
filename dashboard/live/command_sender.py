"""Sends the commands of tabs, with the rights of who asks, and pushes their receipts.

A command leaves as exactly what ``mosquitto_pub`` could send; its receipt is put
together from the replies and pushed to the tab that asked.
"""

import logging
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from broker.client.link import Link
from broker.common.errors import ContractError, NotConnectedError, PiRackError
from broker.contract.messages import Command, OnFailure, Phase, Reply, TargetRow, encode
from broker.contract.topics import Scope, ScopeKind, Topics
from broker.contract.verbs import ADMIN_VERBS, READING_VERBS
from dashboard.live.hub import View
from dashboard.live.rows import event_object
from dashboard.server.users import PageRole, PageUser, Users

log = logging.getLogger(__name__)

FIRST_ANSWER_S = 5.0
"""A living master accepts at once; longer means that nobody will answer."""
NEXT_ANSWER_S = 960.0
"""Silence after which an accepted command is given up: the master itself gives up a
board that said nothing for ``[master] run_s``, 900 s, and tells it a moment later."""
_MAX_OPEN = 500
_MAX_OUTPUT_CHARACTERS = 4000


class NotSentError(PiRackError):
    """The page may not send this, or cannot now; the text says why."""


class CommandRequest(msgspec.Struct, frozen=True):
    """What a tab asks for.

    Args:
        scope: As in a topic: ``node/<id>``, ``stack/<n>``, ``tag/<tag>`` or ``rack``.
        verb: Verb or alias.
        args: Words after the verb.
        confirm: The scope again, for destructive verbs on more than one.
        wave: How many nodes at a time; None: as the verb needs it.
        on_failure: Whether later waves begin when a board has failed.
    """

    scope: str
    verb: str
    args: tuple[str, ...] = ()
    confirm: str = ""
    wave: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    on_failure: OnFailure = OnFailure.STOP


class PendingCommand(msgspec.Struct, eq=False):
    """A command that was sent, until its last answer.

    Args:
        view: The tab that gets the receipt.
        heard_at: Monotonic time of its last answer, at first of sending, seconds.
        answered: Whether any answer has come.
        given_up: Whether the tab was told that no answer came in time.
        parts: Numbers of the parts of the last answer that have come.
    """

    id: str
    view: View
    heard_at: float
    answered: bool = False
    given_up: bool = False
    parts: set[int] = msgspec.field(default_factory=set)

    def deadline(self) -> float:
        """Monotonic time from which no answer is expected any more, seconds."""
        wait_s = NEXT_ANSWER_S if self.answered else FIRST_ANSWER_S
        return self.heard_at + wait_s


def needed_role(verb: str) -> PageRole:
    """Returns the least role that may send a verb; the broker checks the same."""
    if verb in READING_VERBS:
        return PageRole.VIEWER
    return PageRole.ADMIN if verb in ADMIN_VERBS else PageRole.OPERATOR


class CommandSender:
    """Sends commands of tabs and brings them their receipts.

    Args:
        users: Asked again for every command: an open page outlives a revoked session.
        clock: Monotonic time, seconds.
        new_id: Makes command ids.
    """

    def __init__(
        self,
        topics: Topics,
        users: Users,
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.link: Link | None = None
        """Signed in as the dashboard, which may read and ask for history."""
        self.links: dict[PageRole, Link] = {}
        """Signed in as users of the broker that may send what a role may; without one
        the dashboard's own is used: on a broker without rights of ours."""
        self._topics = topics
        self._users = users
        self._clock = clock
        self._new_id = new_id
        self._open: dict[str, PendingCommand] = {}

    def send(self, view: View, request: CommandRequest) -> str:
        """Sends a command and returns its id.

        Raises:
            NotSentError: No permission, no connection, or it breaks the contract.
        """
        user = self._permitted(view, request.verb)
        number = self._new_id()
        command = Command(
            id=number,
            args=request.args,
            confirm=request.confirm,
            wave=request.wave,
            on_failure=request.on_failure,
            by=user.name,
        )
        try:
            scope = Scope.parse(request.scope)
            if scope.kind is ScopeKind.SIM:
                text = "the page does not break nodes on purpose; use pirack send"
                raise NotSentError(text)
            topic = self._topics.command(scope, request.verb)
            self._make_room()
            self._publish(user.role, topic, encode(command))
        except (ContractError, NotConnectedError) as error:
            raise NotSentError(str(error)) from error
        self._open[number] = PendingCommand(number, view, self._clock())
        log.info("%s asked %s for %s", user.name, request.scope, request.verb)
        return number

    def answer(self, reply: Reply) -> None:
        """Pushes a reply of the master to its tab; ignores those to other programs."""
        pending = self._open.get(reply.id)
        if pending is None:
            return
        pending.answered, pending.given_up = True, False
        pending.heard_at = self._clock()
        pending.parts.add(reply.part)
        complete = reply.phase.final and len(pending.parts) >= reply.parts
        pending.view.push("receipts", _receipt(reply, complete=complete))
        if complete:
            del self._open[reply.id]

    def tick(self) -> None:
        """Tells the tabs whose commands have no answer; a late one is still shown."""
        now = self._clock()
        for pending in self._open.values():
            if not pending.given_up and now > pending.deadline():
                pending.given_up = True
                pending.view.push("receipts", _silence(pending))

    def forget(self, view: View) -> None:
        """Keeps nothing for a tab that closed; its commands go on."""
        for pending in [each for each in self._open.values() if each.view is view]:
            del self._open[pending.id]

    def _permitted(self, view: View, verb: str) -> PageUser:
        user = self._users.session(view.user.name, view.user.stamp)
        if user is None:
            text = "your session has ended: sign in again"
            raise NotSentError(text)
        needed = needed_role(verb)
        if not user.role.may(needed):
            text = f"{verb} needs the role {needed}; {user.name} is {user.role}"
            raise NotSentError(text)
        return user

    def _publish(self, role: PageRole, topic: str, payload: bytes) -> None:
        link = self.links.get(role, self.link)
        if self.link is None or link is None or not self.link.connected:
            text = "the broker is not connected: nothing was sent"
            raise NotConnectedError(text)
        if not link.connected:
            text = f"the broker does not let the page in as {role}: nothing was sent"
            raise NotConnectedError(text)
        link.publish(topic, payload, qos=1)

    def _make_room(self) -> None:
        """Forgets the oldest command that was given up, if there are many.

        Raises:
            NotSentError: All of them are still waited for.
        """
        if len(self._open) < _MAX_OPEN:
            return
        for pending in self._open.values():
            if pending.given_up:
                del self._open[pending.id]
                return
        text = f"{_MAX_OPEN} commands wait for an answer already; try again later"
        raise NotSentError(text)


def _receipt(reply: Reply, *, complete: bool) -> dict[str, Any]:
    """Returns a receipt; components/types.d.ts declares its shape."""
    return {
        "id": reply.id,
        "phase": reply.phase.value,
        "complete": complete,
        "ok": reply.ok,
        "error": reply.error,
        "verified": reply.verified,
        "duration": reply.duration_s,
        "rows": [_target(row) for row in reply.targets],
        "events": [event_object(event) for event in reply.events],
    }


def _target(row: TargetRow) -> dict[str, Any]:
    """Returns what one board answered; a board without an agent has a name alone."""
    output = "\n".join(text for text in (row.stdout, row.stderr) if text)
    return {
        "node": row.node or row.name,
        "name": row.name,
        "phase": row.phase.value,
        "error": row.error,
        "exit": row.exit_code,
        "output": output[-_MAX_OUTPUT_CHARACTERS:],
        "duration": row.duration_s,
        "verified": row.verified,
        "code": row.code.value,
    }


def _silence(pending: PendingCommand) -> dict[str, Any]:
    """Returns the receipt of a command that has no answer in time."""
    if pending.answered:
        minutes = NEXT_ANSWER_S / 60
        error = f"no news of it for {minutes:.0f} minutes; see the events of its target"
    else:
        error = f"no answer within {FIRST_ANSWER_S:.0f} s: is the master running?"
    return {
        "id": pending.id,
        "phase": Phase.FAILED.value,
        "complete": True,
        "ok": False,
        "error": error,
        "verified": False,
        "duration": FIRST_ANSWER_S,
        "rows": [],
        "events": [],
    }
