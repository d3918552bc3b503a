"""Who may connect, changed while the broker runs: no restart, nobody disturbed.

The dynamic-security plugin takes JSON on a topic of its own and answers on another
(mosquitto.org, "Dynamic Security Plugin", API). It writes its file itself.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from broker.dynsec import CONTROL, Role, User, acls, identity, rights, role_name
from broker.errors import ControlError, LinkError
from broker.link import Connect, Message, Subscription
from broker.topics import Topics

REQUESTS = f"{CONTROL}/v1"
ANSWERS = f"{REQUESTS}/response"
TIMEOUT_S = 5.0

Request = dict[str, Any]


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """What the plugin says to one request.

    Args:
        command: Which one.
        error: Why it was not done; empty when it was.
        correlation_data: As sent.
        data: What was asked for.
    """

    command: str
    error: str = ""
    correlation_data: str = ""
    data: dict[str, Any] = {}


class _Answers(msgspec.Struct, frozen=True):
    responses: tuple[Answer, ...] = ()


class Control:
    """The broker's door for whoever decides who may connect.

    Args:
        connect: Signed in as a user with ``Role.ADMIN``.
        topics: Of the rack.
    """

    def __init__(self, connect: Connect, topics: Topics) -> None:
        self._connect = connect
        self._topics = topics

    async def clients(self) -> frozenset[str]:
        """Return the names of all who may connect.

        Raises:
            ControlError: The broker did not answer, or refused.
            LinkError: The broker cannot be reached.
        """
        (answer,) = await self._ask([{"command": "listClients"}])
        return frozenset(answer.data.get("clients", ()))

    async def admit(self, user: User, *, renew: bool) -> bool:
        """Let a user connect; return False where it could already, with what it has.

        Args:
            user: Who, and with which password.
            renew: Give one that is known already this password; that ends its
                connection, which the old password opened.

        Raises:
            ControlError: The broker did not answer, or refused.
            LinkError: The broker cannot be reached.
        """
        clients, roles = await self._known()
        name, role = user.name, role_name(user)
        if name in clients:
            if renew:
                change = {"command": "setClientPassword", "username": name}
                await self._ask([{**change, "password": user.password}])
            return renew
        granted = acls(rights(user, self._topics))
        # A role without its client is what a broken earlier attempt left behind.
        command = "modifyRole" if role in roles else "createRole"
        await self._ask(
            [
                {"command": command, "rolename": role, "acls": granted},
                {
                    "command": "createClient",
                    **identity(user),
                    "password": user.password,
                },
            ]
        )
        return True

    async def dismiss(self, node: str) -> bool:
        """Take a node's right to connect, ending its connection; was there one?

        The broker sends no will for it: who asks for this clears what is retained.

        Raises:
            ControlError: The broker did not answer, or refused.
            LinkError: The broker cannot be reached.
        """
        clients, roles = await self._known()
        role = role_name(User(name=node, password="", role=Role.NODE))
        requests: list[Request] = []
        if node in clients:
            requests.append({"command": "deleteClient", "username": node})
        if role in roles:
            requests.append({"command": "deleteRole", "rolename": role})
        if requests:
            await self._ask(requests)
        return bool(requests)

    async def _known(self) -> tuple[frozenset[str], frozenset[str]]:
        clients, roles = await self._ask(
            [{"command": "listClients"}, {"command": "listRoles"}]
        )
        return (
            frozenset(clients.data.get("clients", ())),
            frozenset(roles.data.get("roles", ())),
        )

    async def _ask(self, requests: Sequence[Request]) -> tuple[Answer, ...]:
        """Send requests and return their answers, all of them well.

        Raises:
            ControlError: One was refused, or there was no answer.
            LinkError: The broker cannot be reached.
        """
        mark = secrets.token_hex(8)
        listener = _Listener(mark, len(requests))
        link = self._connect(
            listener,
            client_id=f"pirack-admin-{mark[:8]}",
            subscriptions=[Subscription(ANSWERS)],
        )
        await link.start()
        try:
            if not await link.wait_connected(TIMEOUT_S):
                text = listener.trouble or "the broker cannot be reached"
                raise LinkError(text)
            marked = [{**one, "correlationData": mark} for one in requests]
            link.publish(REQUESTS, msgspec.json.encode({"commands": marked}), qos=1)
            async with asyncio.timeout(TIMEOUT_S):
                answers = await asyncio.shield(listener.answers)
        except TimeoutError as error:
            text = (
                f"the broker did not answer on {ANSWERS} within {TIMEOUT_S:g} s: has "
                "it the dynamic-security plugin, and may this user use it?"
            )
            raise ControlError(text) from error
        finally:
            await link.stop()
        for answer in answers:
            if answer.error:
                text = f"the broker refused {answer.command}: {answer.error}"
                raise ControlError(text)
        return answers


class _Listener:
    """Waits for the answers to marked requests."""

    def __init__(self, mark: str, expected: int) -> None:
        loop = asyncio.get_running_loop()
        self.answers: asyncio.Future[tuple[Answer, ...]] = loop.create_future()
        self.trouble = ""
        self._mark = mark
        self._expected = expected
        self._heard: list[Answer] = []

    def on_connected(self, session: str) -> None:
        """Nothing to do."""

    def on_disconnected(self, reason: str) -> None:
        """Remember why, for the error's text."""
        self.trouble = reason

    def on_message(self, message: Message) -> None:
        """Keep what answers us; another admin's answers come here too."""
        try:
            heard = msgspec.json.decode(message.payload, type=_Answers)
        except msgspec.MsgspecError:
            return
        self._heard += [
            one for one in heard.responses if one.correlation_data == self._mark
        ]
        if len(self._heard) >= self._expected and not self.answers.done():
            self.answers.set_result(tuple(self._heard))
