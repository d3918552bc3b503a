"""Every topic of the contract: builders, the parser, and the rules for names.

Names are narrow on purpose: no dot, space, ``$`` or upper case, so that one contract
works on every broker (RabbitMQ and NATS map dots and spaces to other separators).
"""

import enum
import re
from functools import lru_cache

import msgspec

from broker.common.errors import TopicError

ROOT = "pirack/v1"
HOME_ASSISTANT_STATUS = "homeassistant/status"
"""Home Assistant's birth topic: retained state is published again on ``online``."""

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_STACK = re.compile(r"[1-9][0-9]{0,3}")


def check_name(value: str, what: str = "name") -> str:
    """Returns ``value`` if it is a legal name of the contract.

    Args:
        value: The rack, node, tag or verb name to check.
        what: What the name is for, used in the error text.

    Raises:
        TopicError: ``value`` does not match ``[a-z0-9-]{1,32}``.
    """
    if _NAME.fullmatch(value) is None:
        text = f"{what} {value[:64]!r} must match [a-z0-9-]{{1,32}}"
        raise TopicError(text)
    return value


class ScopeKind(enum.StrEnum):
    """What a command can be addressed to."""

    NODE = "node"
    STACK = "stack"
    TAG = "tag"
    RACK = "rack"
    SIM = "sim"
    """The simulator's own commands (fault injection); no master answers these."""


_SINGLETONS = (ScopeKind.RACK, ScopeKind.SIM)


class Scope(msgspec.Struct, frozen=True, order=True):
    """Whom a command is for: one node, one stack, one tag, the rack or the simulator.

    Args:
        kind: The kind of target.
        name: Node id or display name, stack number, or tag; empty for rack and sim.

    Raises:
        TopicError: The name is illegal, or a stack is not a number from 1 to 9999.
    """

    kind: ScopeKind
    name: str = ""

    def __post_init__(self) -> None:
        """Refuses a scope that no topic could carry."""
        if self.kind in _SINGLETONS:
            if self.name:
                text = f"scope {self.kind} takes no name, got {self.name[:64]!r}"
                raise TopicError(text)
        elif self.kind is ScopeKind.STACK:
            stack_number(self.name)
        else:
            check_name(self.name, self.kind)

    def __str__(self) -> str:
        """The scope as it stands in a topic: ``stack/3``, ``rack``."""
        return f"{self.kind}/{self.name}" if self.name else self.kind.value

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """Returns the scope that a person typed.

        Args:
            text: ``node/<id or name>``, ``stack/<n>``, ``tag/<tag>``, ``rack`` or
                ``sim``.

        Raises:
            TopicError: The text is not a scope.
        """
        kind, _, name = text.partition("/")
        try:
            return cls(ScopeKind(kind), name)
        except TopicError:
            raise
        except ValueError:
            error = (
                f"target {text[:64]!r} is unknown; use node/<id or name>, stack/<n>, "
                "tag/<tag> or rack"
            )
            raise TopicError(error) from None


def stack_number(text: str) -> int:
    """Returns a stack's number from its topic level.

    Raises:
        TopicError: ``text`` is not a plain number from 1 to 9999.
    """
    if _STACK.fullmatch(text) is not None:
        return int(text)
    error = f"stack {text[:64]!r} must be a number from 1 to 9999, 3 and not 03"
    raise TopicError(error)


class NodeLeaf(enum.StrEnum):
    """The last level of a node's own topics."""

    STATUS = "status"
    DETAILS = "details"
    HEARTBEAT = "heartbeat"
    ORDER = "order"
    RESULT = "result"
    STATE = "state"


class Fixed(enum.StrEnum):
    """Topics with nothing variable below the prefix."""

    RACK_STATE = "rack/state"
    INSTALL_STATE = "install/state"
    EVENT = "event"
    MASTER_STATUS = "master/status"
    MASTER_DETAILS = "master/details"


class NodeTopic(msgspec.Struct, frozen=True):
    """``P/node/<id>/<leaf>``."""

    node: str
    leaf: NodeLeaf


class StackTopic(msgspec.Struct, frozen=True):
    """``P/stack/<n>/state``."""

    stack: int


class InstallStackTopic(msgspec.Struct, frozen=True):
    """``P/install/stack/<n>``."""

    stack: int


class FixedTopic(msgspec.Struct, frozen=True):
    """One of the topics without a variable level."""

    which: Fixed


class CommandTopic(msgspec.Struct, frozen=True):
    """``P/<scope>/cmd/<verb>``: a person or a program asks."""

    scope: Scope
    verb: str


class ReplyTopic(msgspec.Struct, frozen=True):
    """``P/<scope>/reply/<verb>``: the master, or the simulator, answers."""

    scope: Scope
    verb: str


Address = (
    NodeTopic | StackTopic | InstallStackTopic | FixedTopic | CommandTopic | ReplyTopic
)

_LEAVES = {leaf.value: leaf for leaf in NodeLeaf}
_FIXED = {fixed.value: fixed for fixed in Fixed}


class Topics:
    """The topics of one rack.

    Args:
        rack: The rack's name.

    Raises:
        TopicError: The rack's name is illegal.
    """

    def __init__(self, rack: str) -> None:
        self.rack = check_name(rack, "rack")
        self.prefix = f"{ROOT}/{rack}"
        self.master_status = self.fixed(Fixed.MASTER_STATUS)
        self.master_details = self.fixed(Fixed.MASTER_DETAILS)
        self.rack_state = self.fixed(Fixed.RACK_STATE)
        self.install_state = self.fixed(Fixed.INSTALL_STATE)
        self.event = self.fixed(Fixed.EVENT)

    def fixed(self, which: Fixed) -> str:
        """Returns a topic that has no variable level."""
        return f"{self.prefix}/{which}"

    def node(self, node: str, leaf: NodeLeaf) -> str:
        """Returns ``P/node/<id>/<leaf>``; ``+`` as node makes it a filter."""
        return f"{self.prefix}/node/{node}/{leaf}"

    def stack(self, stack: int | str) -> str:
        """Returns ``P/stack/<n>/state``; ``+`` makes it a filter."""
        return f"{self.prefix}/stack/{stack}/state"

    def install_stack(self, stack: int | str) -> str:
        """Returns ``P/install/stack/<n>``; ``+`` makes it a filter."""
        return f"{self.prefix}/install/stack/{stack}"

    def command(self, scope: Scope, verb: str) -> str:
        """Returns ``P/<scope>/cmd/<verb>``."""
        return f"{self.prefix}/{scope}/cmd/{check_name(verb, 'verb')}"

    def reply(self, scope: Scope, verb: str) -> str:
        """Returns ``P/<scope>/reply/<verb>``."""
        return f"{self.prefix}/{scope}/reply/{check_name(verb, 'verb')}"

    def command_filters(self) -> tuple[str, ...]:
        """Returns disjoint filters that match every command the master answers."""
        levels = ("node/+", "stack/+", "tag/+", "rack")
        return tuple(f"{self.prefix}/{level}/cmd/+" for level in levels)

    def reply_filters(self) -> tuple[str, ...]:
        """Returns disjoint filters that match every reply."""
        return tuple(
            text.replace("/cmd/", "/reply/") for text in self.command_filters()
        )

    def inbox(self, client: str) -> str:
        """Returns the only form of an MQTT 5 response topic that is honoured.

        A free response topic would let a client with few rights make the master
        publish anywhere.
        """
        return f"{self.prefix}/inbox/{check_name(client, 'client')}"

    def parse(self, topic: str) -> Address:
        """Returns what a topic of this rack is.

        Raises:
            TopicError: The topic is not one of the contract's.
        """
        head, _, rest = topic.partition(self.prefix + "/")
        if head or not rest:
            text = f"topic {topic[:128]!r} does not start with {self.prefix}/"
            raise TopicError(text)
        return _parse(rest)


@lru_cache(maxsize=32_768)
def _parse(rest: str) -> Address:
    """Returns what follows the prefix; cached, for the same few topics recur."""
    if rest in _FIXED:
        return FixedTopic(_FIXED[rest])
    levels = rest.split("/")
    match levels:
        case ["node", node, leaf] if leaf in _LEAVES:
            return NodeTopic(check_name(node, "node"), _LEAVES[leaf])
        case ["stack", stack, "state"]:
            return StackTopic(stack_number(stack))
        case ["install", "stack", stack]:
            return InstallStackTopic(stack_number(stack))
        case [*scope, ("cmd" | "reply") as direction, verb] if scope:
            kind = CommandTopic if direction == "cmd" else ReplyTopic
            return kind(Scope.parse("/".join(scope)), check_name(verb, "verb"))
    text = f"topic level(s) {rest[:128]!r} are not part of the contract"
    raise TopicError(text)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a subscription filter (with ``+`` and ``#``) covers a topic.

    A wildcard as first level does not cover topics that start with ``$`` (MQTT 5.0,
    4.7.2).
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for index, want in enumerate(wanted):
        if want == "#":
            return True
        if index >= len(levels) or want not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)
