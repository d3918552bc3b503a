"""Checks of a running rack: broker, rights, master, nodes, page, forgotten commands."""

import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Collection, Iterator

from broker.client.link import Connect, Message, Subscription
from broker.common.errors import LinkError, LinkRefusedError, PiRackError
from broker.contract.messages import Command, Phase, RackState, Verdict
from broker.contract.topics import NodeLeaf, Scope, ScopeKind, Topics
from broker.contract.verbs import Verb
from pirack import rack_config
from pirack.doctor.check_result import CheckResult, fail, ok, warn
from pirack.rack_client import (
    SHORT_PATIENCE,
    NoAnswerError,
    Question,
    RackClient,
    person,
)
from pirack.rack_config import FoundRack
from pirack.rack_picture import RackPicture
from pirack.receipt import Receipt

LISTEN_S = 0.5
SERVER_ERROR = 500
START_POLL_S = 0.5
NAMED = 5
"""How many bad nodes are named before the rest is counted."""


async def rack(place: FoundRack) -> list[CheckResult]:
    """Checks everything that goes through the broker, with one ping of the rack."""
    try:
        connect = await rack_config.connect(place)
        topics, scope = place.topics, Scope(ScopeKind.RACK)
        pong = topics.reply(scope, Verb.PING)
        async with RackClient(connect, topics, name="doctor", replies=[pong]) as client:
            asked = Question(scope=scope, verb=Verb.PING, command=_ping())
            receipt = await client.ask(asked, patience=SHORT_PATIENCE)
    except LinkRefusedError as error:
        advice = "say who you are: --credentials FILE; or which rack: --data, --config"
        return [fail("broker", _bare(error), advice)]
    except LinkError as error:
        return [fail("broker", _bare(error), "start one: pirack up (or make run)")]
    except NoAnswerError as error:
        return [_reached(place), fail("master", str(error), "see what it logs")]
    except PiRackError as error:
        return [fail("broker", str(error), "see docs/protocol.md")]
    picture = await pictured(connect, place.topics)
    swept = await retained_commands(connect, place.topics)
    found = [*nodes(receipt, off_on_purpose(picture)), *errors(picture.rack)]
    return [_reached(place), *found, swept]


def _bare(error: LinkError) -> str:
    """Returns what is wrong without sending a person here."""
    return str(error).removesuffix(rack_config.SEE_DOCTOR).rstrip()


def _reached(place: FoundRack) -> CheckResult:
    return ok("broker", f"{place.broker} (found by {place.source})")


def _ping() -> Command:
    return Command(id=uuid.uuid4().hex, by=f"doctor of {person()}")


def nodes(
    receipt: Receipt, off: Collection[str] = frozenset()
) -> Iterator[CheckResult]:
    """Checks master and nodes by their answers to a ping of the rack.

    Args:
        off: Ids of the nodes whose outlet is off on purpose: their silence is right.
    """
    if not receipt.complete:
        advice = "it accepted the ping and did not finish: see what it logs"
        yield fail("master", receipt.summary(), advice)
        return
    yield ok("master", "online, answers, and this user may ask")
    bad = [row for row in receipt.rows if row.phase is not Phase.DONE]
    silent = [row for row in bad if row.node not in off]
    resting = len(bad) - len(silent)
    aside = f"; {resting} off on purpose" if resting else ""
    if not receipt.rows:
        yield warn("nodes", "none known yet", "start `pirack-agent` on a Pi")
    elif silent:
        named = "; ".join(
            f"{row.name}: {row.error or row.phase}" for row in silent[:NAMED]
        )
        more = f"; and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        text = (
            f"{len(silent)} of {len(receipt.rows)} did not answer: {named}{more}{aside}"
        )
        yield warn("nodes", text, "`pirack watch` shows what the master thinks of each")
    else:
        yield ok("nodes", f"all {len(receipt.rows) - resting} answer{aside}")


def errors(rack: RackState | None) -> Iterator[CheckResult]:
    """Reports errors in the master itself since it started."""
    if rack is not None and rack.errors:
        said = ", ".join(f"{kind}: {count}" for kind, count in rack.errors.items())
        advice = "its log says what failed: journalctl -u pirack-master"
        yield warn("master's errors", said, advice)


async def pictured(
    connect: Connect, topics: Topics, listen_s: float = LISTEN_S
) -> RackPicture:
    """Returns what the master publishes about the rack and its nodes.

    Args:
        listen_s: How long retained messages may take to come, seconds.
    """
    states = (topics.node("+", NodeLeaf.STATE), topics.rack_state)
    hears = [Subscription(topic, qos=1) for topic in states]
    async with RackClient(connect, topics, name="doctor", hears=hears) as client:
        await client.settle(listen_s)
        return client.picture


def off_on_purpose(picture: RackPicture) -> frozenset[str]:
    """Returns the ids of the nodes that the master says are off."""
    states = picture.nodes.values()
    return frozenset(one.id for one in states if one.verdict is Verdict.OFF)


async def retained_commands(
    connect: Connect, topics: Topics, listen_s: float = LISTEN_S
) -> CheckResult:
    """Checks that no retained command waits on the broker for the next to start.

    Args:
        connect: As somebody who may read commands.
        listen_s: How long retained messages may take to come, seconds.
    """
    found: list[str] = []

    def take(message: Message, _value: object) -> None:
        if message.retain and message.payload and "/cmd/" in message.topic:
            found.append(message.topic)

    hears = [Subscription(one) for one in topics.command_filters()]
    client = RackClient(connect, topics, name="doctor", hears=hears, on_message=take)
    async with client:
        await client.settle(listen_s)
    if not found:
        return ok("retained commands", "none lies on the broker")
    topic = found[0]
    return warn(
        "retained commands",
        f"{len(found)} on the broker, for example {topic}",
        f"published with -r by somebody; clear it: mosquitto_pub -r -n -t {topic}",
    )


def page(url: str, timeout_s: float = 5.0, start_s: float = 0.0) -> CheckResult:
    """Checks that the page answers.

    Args:
        url: Of the page; ours, from run.json or the configuration.
        timeout_s: How long to wait for an answer, seconds.
        start_s: How long nothing needs to listen there, seconds.
    """
    deadline = time.monotonic() + start_s
    while (found := _page(url, timeout_s)) is None and time.monotonic() < deadline:
        time.sleep(START_POLL_S)
    if found is not None:
        return found
    advice = "is `pirack dashboard` (or `pirack up`) running? see what it logs"
    return fail("page", f"{url}: Connection refused", advice)


def _page(url: str, timeout_s: float) -> CheckResult | None:
    """Returns how the page answers; None if nothing listens there."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310  # our own address
            return ok("page", f"{url} answers ({answer.status})")
    except urllib.error.HTTPError as error:
        if error.code < SERVER_ERROR:
            return ok("page", f"{url} answers ({error.code}: sign in)")
        return fail("page", f"{url}: {error}", "see what the page logs")
    except OSError as error:
        cause = getattr(error, "reason", error)  # what urllib wrapped
        if isinstance(cause, ConnectionRefusedError):
            return None
        why = getattr(cause, "strerror", None) or cause
        return fail("page", f"{url}: {why}", "see what the page logs")
