"""``pirack node add``: from a board's number to a Pi that is in the rack."""

import asyncio
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError, PiRackError
from broker.contract.verbs import Verb
from broker.mosquitto.credentials import Credentials
from pirack.node import bundle, members, rack
from pirack.node.board_id import BoardId
from pirack.rack_config import RackAccess
from pirack.receipt import Receipt

KNOWN_S = 3.0
"""How long the master may take to notice a new node."""


class NotLetInError(PiRackError):
    """The master does not have a board in the rack."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for.

    Args:
        board: Who.
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
        """What the master must be told: verbs and their words."""
        named = ((Verb.NAME.value, (self.name,)),) if self.name else ()
        if self.place is None:
            return named
        words = tuple(str(number) for number in self.place)
        return (*named, (Verb.PLACE.value, words))


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Args:
        wish: What was asked for.
        rack: Name of the rack.
        bundle: Directory to bring to the Pi.
        live: The running broker took it; else it will at its next start.
        done: What the master did, in words.
        problems: What a person must still look after, in words.
    """

    wish: Wish
    rack: str
    bundle: Path
    live: bool
    done: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def add(house: RackAccess, wish: Wish) -> Added:
    """Let a board join, and put its bundle together.

    Raises:
        PiRackError: The broker or a file does not allow it.
        OSError: A file cannot be written.
    """
    if wish.board.node == house.own_node:
        # Another password would lock out the agent that runs here.
        text = f"{wish.board.node} is this machine, the master's: it has its agent"
        raise ConfigError(text)
    secret, new = members.secret(house, wish.board.node, renew=wish.renew)
    live = asyncio.run(members.admit(house, secret, renewed=new))
    into = wish.into or house.bundles
    made = bundle.write(
        house, wish.board, secret, into=into, at=wish.at, wheel=wish.wheel
    )
    added = Added(wish=wish, rack=house.topics.rack, bundle=made.absolute(), live=live)
    if not live:
        text = f"the broker is down: it takes {wish.board.node} when it starts"
        return msgspec.structs.replace(added, problems=(text, *_later(wish)))
    return asyncio.run(_place(house, added, secret, new=new))


async def _place(
    house: RackAccess, added: Added, secret: Credentials, *, new: bool
) -> Added:
    """Make the node known to the master, and tell it name and place."""
    wish, done, problems = added.wish, list[str](), list[str]()
    try:
        # A password from an earlier try may never have been used.
        if new or not await known(house, wish.board.node):
            await rack.sign_in(house, secret)
    except PiRackError as error:
        problems.append(f"signing in as the Pi will did not work: {error}")
    try:
        await know(house, wish.board.node)
        for verb, words in wish.commands:
            receipt = await rack.command(house, wish.board.node, verb, *words)
            said = f"{verb} {' '.join(words)}"
            if receipt.ok:
                done.append(said)
            else:
                problems.append(f"{said}: {why(receipt)}")
    except PiRackError as error:
        problems += [str(error), *_later(wish)]
    return msgspec.structs.replace(added, done=tuple(done), problems=tuple(problems))


async def know(house: RackAccess, node: str) -> None:
    """Has the master know a node: one that was forgotten, or was never heard.

    Raises:
        NotLetInError: The master refuses; says why.
        PiRackError: There is no master.
    """
    if not await known(house, node):
        await let_in(house, node)


async def let_in(house: RackAccess, node: str) -> None:
    """Has the master admit a node that it does not know, or has forgotten.

    Raises:
        NotLetInError: The master refuses; says why.
        PiRackError: There is no master.
    """
    receipt = await rack.command(house, node, Verb.FORGET, "undo", "new")
    if not receipt.ok:
        text = f"the master does not let {node} in: {why(receipt)}"
        raise NotLetInError(text)


async def known(house: RackAccess, node: str) -> bool:
    """Return whether the master knows a node.

    Raises:
        PiRackError: The broker cannot be reached.
    """
    return node in await rack.look(house, lambda nodes: node in nodes, KNOWN_S)


def why(receipt: Receipt) -> str:
    """Return why something was not done, in the master's words."""
    errors = "; ".join(row.error for row in receipt.rows if row.error)
    whole = receipt.whole()
    return errors or (whole.error if whole else "") or receipt.summary()


def _later(wish: Wish) -> Iterator[str]:
    """Return the lines that do later what the master could not do now."""
    for verb, words in wish.commands:
        line = shlex.join(["pirack", "send", wish.board.node, verb, *words])
        yield f"when the master runs and the Pi has come: {line}"


def lines(added: Added) -> Iterator[str]:
    """Return what the person is told."""
    node, name = added.wish.board.node, added.wish.name
    who = f"{name} ({node})" if name else node
    yield f"{who} may join rack {added.rack}."
    yield from (f"  done: {text}" for text in added.done)
    yield from (f"  note: {text}" for text in added.problems)
    yield ""
    yield "Bring its bundle, which holds its password, to the Pi and install it there:"
    yield ""
    yield from (f"  {text}" for text in commands(added.bundle))
    yield ""


def commands(made: Path, *, root: bool = os.geteuid() == 0) -> tuple[str, ...]:
    """Return lines to paste; ``PI`` stands for the Pi's name or address.

    Args:
        made: The bundle.
        root: Whether it is root who can read the bundle.
    """
    sudo = "sudo " if root else ""
    words = shlex.join(["tar", "-cC", str(made.parent), made.name])
    name = shlex.quote(made.name)
    return (
        f"{sudo}{words} | ssh pi@PI tar -x",
        f"ssh -t pi@PI sudo sh {name}/{bundle.INSTALL}",
    )
