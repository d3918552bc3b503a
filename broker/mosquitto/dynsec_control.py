"""Who may connect, changed while the broker runs: no restart, nobody disturbed.

The dynamic-security plugin takes JSON on a topic of its own and answers on another
(mosquitto.org, "Dynamic Security Plugin", API). It writes its file itself.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from broker.client.link import Connect, Message, Subscription
from broker.common.errors import ControlError, LinkError
from broker.contract.topics import Topics
from broker.mosquitto.dynsec import (
    CONTROL,
    PEOPLE,
    SHARED_ROLES,
    Acl,
    BrokerRole,
    BrokerUser,
    is_our_role,
    outdated,
    renewed,
    rights_of,
)

REQUESTS = f"{CONTROL}/v1"
ANSWERS = f"{REQUESTS}/response"
TIMEOUT_S = 5.0
_AT_ONCE = 20
"""Requests in a message: the answers to so many are about 40 kB."""
_OPTIONAL = frozenset({BrokerRole.SIMULATOR.value})
"""Roles that only some racks have."""

Request = dict[str, Any]


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """What the plugin answers to one request; without an ``error`` it was done."""

    command: str
    error: str = ""
    correlation_data: str = ""
    data: dict[str, Any] = {}


class _Answers(msgspec.Struct, frozen=True):
    responses: tuple[_Answer, ...] = ()


class DynsecControl:
    """Changes who may connect at a running broker.

    Each method raises a ControlError when the broker refuses or does not answer, and a
    LinkError when it cannot be reached.

    Args:
        connect: Signed in as a user with ``BrokerRole.BROKER_ADMIN``.
        topics: Of the rack.
    """

    def __init__(self, connect: Connect, topics: Topics) -> None:
        self._connect = connect
        self._topics = topics

    async def clients(self) -> frozenset[str]:
        """Returns the names of all who may connect."""
        (answer,) = await self._ask([{"command": "listClients"}])
        return frozenset(answer.data.get("clients", ()))

    async def client_ids(self, users: Iterable[str]) -> dict[str, str]:
        """Returns the client ids that users must connect with; empty for any."""
        known = (await self.clients()).intersection(users)
        found = await self._each(
            {"command": "getClient", "username": user} for user in sorted(known)
        )
        rows = [one.data.get("client", {}) for one in found]
        return {str(row.get("username")): row.get("clientid", "") for row in rows}

    async def outdated(self) -> tuple[str, ...]:
        """Returns our roles that lack rights, have former ones, or are missing."""
        roles = (await self._known())[1]
        present = await self._acls(roles)
        old = {
            role for role, row in present.items() if outdated(role, row, self._topics)
        }
        return tuple(sorted(old | (SHARED_ROLES - roles - _OPTIONAL)))

    async def renew(self, users: Sequence[BrokerUser]) -> tuple[str, ...]:
        """Brings users and roles up to date, and returns those that were changed.

        Only what differs is changed, because a change ends the connections of whom it
        concerns. Roles keep what people added to them.

        Args:
            users: Services, people and nodes of ours; others are left as they are.
        """
        clients, roles = await self._known()
        changed: list[str] = []
        for role, row in (await self._acls(roles)).items():
            if outdated(role, row, self._topics):
                acls_now = renewed(role, row, self._topics)
                change = {"command": "modifyRole", "rolename": role, "acls": acls_now}
                await self._ask([change])
                changed.append(role)
        bound = await self.client_ids(user.name for user in users)
        for user in users:
            if user.name not in clients:
                await self.add_user(user, renew=False)
            elif user.role in PEOPLE or bound.get(user.name) == user.bound_client_id:
                continue
            else:
                await self.bind_client_id(user)
            changed.append(user.name)
        return tuple(changed)

    async def bind_client_id(self, user: BrokerUser) -> None:
        """Lets a node or service connect with its client id only.

        That ends its present connection.
        """
        change = {"command": "modifyClient", "username": user.name}
        await self._ask([{**change, "clientid": user.bound_client_id}])

    async def _acls(self, roles: Iterable[str]) -> dict[str, list[Acl]]:
        """Returns what those of the roles may do that are ours."""
        found = await self._each(
            {"command": "getRole", "rolename": role}
            for role in sorted(filter(is_our_role, roles))
        )
        rows = [one.data.get("role", {}) for one in found]
        return {str(row.get("rolename")): row.get("acls", []) for row in rows}

    async def _each(self, requests: Iterable[Request]) -> list[_Answer]:
        """Asks many things, a few in each message: an answer has a largest size."""
        left, answers = list(requests), list[_Answer]()
        while left:
            answers += await self._ask(left[:_AT_ONCE])
            del left[:_AT_ONCE]
        return answers

    async def add_user(self, user: BrokerUser, *, renew: bool) -> bool:
        """Lets a user connect; returns False where it could already, with what it has.

        Args:
            user: Who, and with which password.
            renew: Give one that is known already this password; that ends its
                connection, which the old password opened.
        """
        clients, roles = await self._known()
        name, role = user.name, user.role_name
        if name in clients:
            if renew:
                change = {"command": "modifyClient", "username": name}
                if user.bound_client_id:
                    change["clientid"] = user.bound_client_id
                await self._ask([{**change, "password": user.password}])
            return renew
        granted = rights_of(role, self._topics).acls()
        # A role without its client is what a broken earlier attempt left behind.
        command = "modifyRole" if role in roles else "createRole"
        await self._ask(
            [
                {"command": command, "rolename": role, "acls": granted},
                {
                    "command": "createClient",
                    **user.identity,
                    "password": user.password,
                },
            ]
        )
        return True

    async def remove_node(self, node: str) -> bool:
        """Takes a node's right to connect; returns whether it had one.

        That ends its connection, and the broker publishes no will for it: the caller
        clears what is retained.
        """
        clients, roles = await self._known()
        role = BrokerUser(name=node, password="", role=BrokerRole.NODE).role_name
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

    async def _ask(self, requests: Sequence[Request]) -> tuple[_Answer, ...]:
        """Sends requests and returns their answers, none of which is an error.

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
                text = listener.why_not or "the broker cannot be reached"
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
        self.answers: asyncio.Future[tuple[_Answer, ...]] = loop.create_future()
        self.why_not = ""
        self._mark = mark
        self._expected = expected
        self._heard: list[_Answer] = []

    def on_connected(self, session: str) -> None:
        """Does nothing."""

    def on_disconnected(self, reason: str) -> None:
        """Remembers why, for the error's text."""
        self.why_not = reason

    def on_message(self, message: Message) -> None:
        """Keeps what answers us; another admin's answers come here too."""
        try:
            heard = msgspec.json.decode(message.payload, type=_Answers)
        except msgspec.MsgspecError:
            return
        self._heard += [
            one for one in heard.responses if one.correlation_data == self._mark
        ]
        if len(self._heard) >= self._expected and not self.answers.done():
            self.answers.set_result(tuple(self._heard))
