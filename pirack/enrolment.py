"""Nodes join and leave a rack: first the broker's users, then what the master knows."""

import asyncio
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import (
    ConfigError,
    LinkError,
    PiRackError,
    TopicError,
)
from broker.contract.messages import NodeState
from broker.contract.topics import Scope, ScopeKind
from broker.contract.verbs import Verb
from broker.mosquitto.credentials import (
    Credentials,
)
from pirack import broker_users, bundle
from pirack.bundle import BoardId, read_board_id
from pirack.rack_client import SHORT_PATIENCE, RackClient, question
from pirack.rack_config import (
    OPERATOR,
    RackAccess,
)
from pirack.rack_picture import overview
from pirack.receipt import Receipt

LOOK_S = 3.0
"""How long what the master says of nodes may take to come."""


class NotLetInError(PiRackError):
    """The master does not have a board in the rack."""


# --- the master -----------------------------------------------------------------------


async def look_at_nodes(
    access: RackAccess, enough: Callable[[dict[str, NodeState]], bool]
) -> dict[str, NodeState]:
    """Returns the nodes as the master sees them; what is known after ``LOOK_S``.

    Args:
        access: The rack.
        enough: Gets all that is known so far; the look ends when it returns True.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
    """
    endpoint = access.local_endpoint(OPERATOR)
    await check_connection(endpoint)
    client = RackClient(
        connector(endpoint), access.topics, name="node", hears=overview(access.topics)
    )
    async with client:
        picture = client.picture
        await client.wait_for(lambda: enough(picture.nodes) or picture.whole, LOOK_S)
        return picture.nodes


async def command_node(access: RackAccess, node: str, verb: str, *args: str) -> Receipt:
    """Asks the master something about one node.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
        NoAnswerError: There is no master.
    """
    endpoint = access.local_endpoint(access.commander(verb))
    await check_connection(endpoint)
    scope, topics = Scope(ScopeKind.NODE, node), access.topics
    replies = [topics.reply(scope, verb)]
    client = RackClient(connector(endpoint), topics, name="node", replies=replies)
    async with client:
        asked = question(scope, verb, *args)
        return await client.ask(asked, patience=SHORT_PATIENCE)


async def know(access: RackAccess, node: str) -> None:
    """Makes the master know a node that was forgotten, or never heard.

    Raises:
        NotLetInError: The master refuses; says why.
        PiRackError: There is no master.
    """
    if not await known(access, node):
        await let_in(access, node)


async def let_in(access: RackAccess, node: str) -> None:
    """Makes the master admit a node that it does not know, or has forgotten.

    Raises:
        NotLetInError: The master refuses; says why.
        PiRackError: There is no master.
    """
    receipt = await command_node(access, node, Verb.FORGET, "undo", "new")
    if not receipt.ok:
        text = f"the master does not let {node} in: {receipt_error(receipt)}"
        raise NotLetInError(text)


async def known(access: RackAccess, node: str) -> bool:
    """Returns whether the master knows a node.

    Raises:
        PiRackError: The broker cannot be reached.
    """
    return node in await look_at_nodes(access, lambda nodes: node in nodes)


def receipt_error(receipt: Receipt) -> str:
    """Returns why something was not done, in the master's words."""
    errors = "; ".join(row.error for row in receipt.rows if row.error)
    whole = receipt.whole()
    return errors or (whole.error if whole else "") or receipt.summary()


# --- add ------------------------------------------------------------------------------


class AddRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be added.

    Args:
        board: Which one.
        name: Display name; empty for none.
        place: Stack and slot; None for none.
        renew: Give it a new password.
        into: Directory the bundle is made in; None for the rack's own.
        at: Where the bundle's files will be on the Pi.
        wheel: Our package, to go with it.
    """

    board: BoardId
    name: str = ""
    place: tuple[int, int] | None = None
    renew: bool = False
    into: Path | None = None
    at: Path = bundle.AT
    wheel: Path | None = None

    @property
    def commands(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What the master must be sent: verbs and their words."""
        named = ((Verb.NAME.value, (self.name,)),) if self.name else ()
        if self.place is None:
            return named
        words = tuple(str(number) for number in self.place)
        return (*named, (Verb.PLACE.value, words))


class AddedNode(msgspec.Struct, frozen=True, kw_only=True):
    """Result of adding a node.

    Args:
        request: What was asked for.
        rack: Name of the rack.
        bundle: Directory to bring to the Pi.
        live: The running broker took it; else it will at its next start.
        done: What the master did, in words.
        problems: What a person must still look after, in words.
    """

    request: AddRequest
    rack: str
    bundle: Path
    live: bool
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def add(access: RackAccess, request: AddRequest) -> AddedNode:
    """Lets a board join, and puts its bundle together.

    Raises:
        PiRackError: The broker or a file does not allow it.
        OSError: A file cannot be written.
    """
    if request.board.node == access.own_node:
        # Another password would lock out the agent that runs here.
        text = f"{request.board.node} is this machine, the master's: it has its agent"
        raise ConfigError(text)
    secret, new = broker_users.node_secret(
        access, request.board.node, renew=request.renew
    )
    live = asyncio.run(broker_users.admit(access, secret, renewed=new))
    into = request.into or access.bundles
    made = bundle.write(
        access, request.board, secret, into=into, at=request.at, wheel=request.wheel
    )
    added = AddedNode(
        request=request, rack=access.topics.rack, bundle=made.absolute(), live=live
    )
    if not live:
        text = f"the broker is down: it takes {request.board.node} when it starts"
        return msgspec.structs.replace(added, problems=(text, *_later(request)))
    return asyncio.run(_place(access, added, secret, new=new))


async def _place(
    access: RackAccess, added: AddedNode, secret: Credentials, *, new: bool
) -> AddedNode:
    """Makes the node known to the master, and sets name and place."""
    request, done, problems = added.request, list[str](), list[str]()
    try:
        # A password from an earlier try may never have been used.
        if new or not await known(access, request.board.node):
            # As the Pi will, but without a will: the master must not take it for the
            # board, which may still be in its box.
            await check_connection(access.tls_endpoint(secret), secret.username)
    except PiRackError as error:
        problems.append(f"signing in as the Pi will did not work: {error}")
    try:
        await know(access, request.board.node)
        for verb, words in request.commands:
            receipt = await command_node(access, request.board.node, verb, *words)
            said = f"{verb} {' '.join(words)}"
            if receipt.ok:
                done.append(said)
            else:
                problems.append(f"{said}: {receipt_error(receipt)}")
    except PiRackError as error:
        problems += [str(error), *_later(request)]
    return msgspec.structs.replace(added, done=tuple(done), problems=tuple(problems))


def _later(request: AddRequest) -> Iterator[str]:
    """Returns the lines that do later what the master could not do now."""
    for verb, words in request.commands:
        line = shlex.join(["pirack", "send", request.board.node, verb, *words])
        yield f"when the master runs and the Pi has come: {line}"


# --- forget ---------------------------------------------------------------------------


class ForgottenNode(msgspec.Struct, frozen=True, kw_only=True):
    """Result of forgetting a node.

    Args:
        node: Id.
        live: The running broker was told, and ended its connection.
        cleared: Topics the master cleared.
        problem: What a person must still do; empty for nothing.
    """

    node: str
    live: bool
    cleared: tuple[str, ...] = ()
    problem: str = ""


def forget(access: RackAccess, word: str) -> ForgottenNode:
    """Takes a node's password, ends its connection, and has its topics cleared.

    First the broker, so that it can say nothing more; then the master.

    Args:
        access: The rack.
        word: Id, serial, MAC address, or display name.

    Raises:
        PiRackError: No such node was added, or the broker refuses.
        OSError: A file cannot be removed.
    """
    node = resolve(access, word)
    live = asyncio.run(broker_users.dismiss(access, node))
    left = ForgottenNode(node=node, live=live)
    later = f"when the master runs: pirack send {node} {Verb.FORGET}"
    if not live:
        text = f"the broker is down, so nothing of it is cleared; {later}"
        return msgspec.structs.replace(left, problem=text)
    try:
        known = asyncio.run(look_at_nodes(access, lambda nodes: node in nodes))
        if node not in known:
            return left  # it never came: nothing of it can lie anywhere
        receipt = asyncio.run(command_node(access, node, Verb.FORGET))
    except PiRackError as error:
        return msgspec.structs.replace(left, problem=f"{error}; {later}")
    if not receipt.ok:
        return msgspec.structs.replace(left, problem=receipt_error(receipt))
    cleared = tuple(
        line for row in receipt.rows for line in row.stdout.splitlines() if line
    )
    return msgspec.structs.replace(left, cleared=cleared)


def resolve(access: RackAccess, word: str) -> str:
    """Returns the id of a node that was added.

    Raises:
        ConfigError: No such node was added; names those that were.
    """
    added = access.nodes()
    try:
        node = read_board_id(word).node
    except TopicError:
        node = ""
    if node in added:
        return node
    named = _by_name(access, word)
    if named in added:
        return named
    listed = ", ".join(added) or "none"
    text = f"{word!r} was not added by `pirack node add`; there are: {listed}"
    raise ConfigError(text)


def _by_name(access: RackAccess, word: str) -> str:
    """Returns the id of the node with this display name; empty if it is not known."""
    try:
        nodes = asyncio.run(look_at_nodes(access, lambda _nodes: False))
    except LinkError:
        return ""
    return next((one.id for one in nodes.values() if one.name == word), "")
