"""``pirack node forget``: a Pi leaves the rack, and nothing of it stays behind."""

import asyncio

import msgspec

from broker.common.errors import ConfigError, LinkError, PiRackError, TopicError
from broker.contract.verbs import Verb
from pirack.node import board_id, members, rack
from pirack.node.add import why
from pirack.rack_config import RackAccess

LOOK_S = 3.0


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

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


def forget(house: RackAccess, word: str) -> Left:
    """Take a node's password, end its connection, and have its topics cleared.

    First the broker, so that it can say nothing more; then the master.

    Args:
        house: The rack.
        word: Id, serial, MAC address, or display name.

    Raises:
        PiRackError: No such node was added, or the broker refuses.
        OSError: A file cannot be removed.
    """
    node = resolve(house, word)
    live = asyncio.run(members.dismiss(house, node))
    left = Left(node=node, live=live)
    later = f"when the master runs: pirack send {node} {Verb.FORGET}"
    if not live:
        text = f"the broker is down, so nothing of it is cleared; {later}"
        return msgspec.structs.replace(left, problem=text)
    try:
        known = asyncio.run(rack.look(house, lambda nodes: node in nodes, LOOK_S))
        if node not in known:
            return left  # it never came: nothing of it can lie anywhere
        receipt = asyncio.run(rack.command(house, node, Verb.FORGET))
    except PiRackError as error:
        return msgspec.structs.replace(left, problem=f"{error}; {later}")
    if not receipt.ok:
        return msgspec.structs.replace(left, problem=why(receipt))
    cleared = tuple(
        line for row in receipt.rows for line in row.stdout.splitlines() if line
    )
    return msgspec.structs.replace(left, cleared=cleared)


def resolve(house: RackAccess, word: str) -> str:
    """Return the id of a node that was added.

    Raises:
        ConfigError: No such node was added; names those that were.
    """
    added = house.nodes()
    try:
        node = board_id.read(word).node
    except TopicError:
        node = ""
    if node in added:
        return node
    named = _by_name(house, word)
    if named in added:
        return named
    listed = ", ".join(added) or "none"
    text = f"{word!r} was not added by `pirack node add`; there are: {listed}"
    raise ConfigError(text)


def _by_name(house: RackAccess, word: str) -> str:
    """Return the id of the node with this display name; empty where nobody says."""
    try:
        nodes = asyncio.run(rack.look(house, lambda _nodes: False, LOOK_S))
    except LinkError:
        return ""
    return next((one.id for one in nodes.values() if one.name == word), "")
