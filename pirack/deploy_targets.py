"""Which boards are meant: names, ids, addresses, a stack, all of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError
from broker.contract.messages import Details, NodeState
from node_agent import identity
from provisioning.deploy.report import SSH_PORT, Target, parse
from provisioning.journal import SqliteJournal
from provisioning.run.plan import Place

JOURNAL = "install.sqlite"


class KnownBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A board that can be named in more ways than by its address.

    Args:
        target: How it is reached.
        node: Its id.
    """

    target: Target
    node: str

    @property
    def words(self) -> frozenset[str]:
        """What it is called."""
        return frozenset({self.target.name, self.node, self.target.mac} - {""})


def found_places(directory: Path) -> tuple[Place, ...]:
    """Returns who stands where; nothing before the first install run.

    Raises:
        JournalError: The journal cannot be read.
    """
    path = directory / JOURNAL
    if not path.exists():
        return ()
    journal = SqliteJournal(path)
    journal.open()
    try:
        return journal.places()
    finally:
        journal.close()


def from_places(
    places: Iterable[Place], details: Mapping[str, Details], port: int = SSH_PORT
) -> Iterator[KnownBoard]:
    """Returns the boards that an install run found, at the addresses it gave them.

    Args:
        places: Of the rack.
        details: What nodes say; they tell simulated boards, which have no SSH server.
        port: Of their SSH servers.
    """
    invented = {mac for said in details.values() if said.simulated for mac in said.macs}
    for place in places:
        if not place.mac or place.mac in invented:
            continue
        yield KnownBoard(
            node=identity.node_id(place.serial, (place.mac,)),
            target=Target(
                host=place.address,
                port=port,
                name=place.name,
                mac=place.mac,
                stack=place.stack,
                slot=place.slot,
            ),
        )


def from_rack(
    details: Mapping[str, Details],
    states: Mapping[str, NodeState],
    port: int = SSH_PORT,
) -> Iterator[KnownBoard]:
    """Returns the boards that have an agent, at the addresses they said."""
    for node, said in details.items():
        if said.simulated or not said.addresses:
            continue
        state = states.get(node)
        yield KnownBoard(
            node=node,
            target=Target(
                host=said.addresses[0],
                port=port,
                name=state.name if state else node,
                stack=state.stack if state else None,
                slot=state.slot if state else None,
            ),
        )


def merge(
    found: Iterable[KnownBoard], speaking: Iterable[KnownBoard], *, own: str
) -> tuple[KnownBoard, ...]:
    """Returns every board once; the address its slot has for good comes first.

    Args:
        found: By the install run.
        speaking: With an agent.
        own: Id of the master's machine, which is none of them.
    """
    known: dict[str, KnownBoard] = {}
    for one in (*found, *speaking):
        if one.node != own:
            known.setdefault(one.node, one)
    return tuple(sorted(known.values(), key=_order))


def left_out(
    own: str, states: Mapping[str, NodeState], *, stack: int | None = None
) -> str:
    """Returns that the master's machine is left out; empty where it was not meant.

    Args:
        own: Its id; empty where it is not known.
        states: What the master thinks of the nodes.
        stack: Only those of this stack are meant.
    """
    state = states.get(own)
    if state is None or stack not in {None, state.stack}:
        return ""
    return f"{state.name} is this machine, the master's: left out, it has its agent"


def not_meant(
    words: Iterable[str],
    details: Mapping[str, Details],
    states: Mapping[str, NodeState],
    *,
    own: str,
) -> Iterator[str]:
    """Returns why words name nodes that no one can sign in to.

    Args:
        words: Names or ids.
        details: What the nodes say.
        states: What the master thinks of them.
        own: Id of the master's machine; empty where it is not known.
    """
    names = {state.name: node for node, state in states.items()}
    for word in words:
        node = names.get(word.lower(), word.lower())
        if own and node == own:
            yield f"{word} is this machine, the master's: it has its agent"
        elif node in details and details[node].simulated:
            yield f"{word} is simulated: there is no board to bring an agent to"


def _order(known: KnownBoard) -> tuple[int, int, str]:
    target = known.target
    unplaced = target.stack is None
    return (2**31 if unplaced else target.stack or 0, target.slot or 0, target.label)


def choose(
    known: Collection[KnownBoard],
    words: Sequence[str],
    *,
    stack: int | None = None,
    port: int = SSH_PORT,
) -> tuple[Target, ...]:
    """Returns the boards that are meant.

    Args:
        known: Those that have a name.
        words: Names, ids or addresses; none means all that are known.
        stack: Only those of this stack.
        port: Of the SSH server, where a word has none.

    Raises:
        ConfigError: There is none.
    """
    if words:
        named = {word: one.target for one in known for word in one.words}
        chosen = [named.get(word.lower()) or _stranger(word, port) for word in words]
    else:
        chosen = [
            one.target for one in known if stack is None or one.target.stack == stack
        ]
    if not chosen:
        where = "" if stack is None else f" in stack {stack}"
        text = (
            f"no board is known{where}: name addresses (pirack deploy 192.168.23.11), "
            "or let an install run find them"
        )
        raise ConfigError(text)
    return tuple({target.where: target for target in chosen}.values())


def _stranger(word: str, port: int) -> Target:
    try:
        host, port = parse(word, port)
    except ValueError as error:
        text = f"{word!r} is not an address: write 192.168.23.11, or 192.168.23.11:2222"
        raise ConfigError(text) from error
    return Target(host=host, port=port)
