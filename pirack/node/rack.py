"""What the running rack says of its nodes, and how it is asked something."""

import asyncio
import time
import uuid
from collections.abc import Callable

from broker.client.link import Message
from broker.client.mqtt_link import check_connection, connector
from broker.contract.messages import Command, NodeState
from broker.contract.topics import Scope, ScopeKind
from broker.mosquitto.credentials import Credentials
from pirack.ask import Patience, Question, ask
from pirack.house import OPERATOR, House
from pirack.mirror import Mirror
from pirack.person import person
from pirack.receipt import Receipt

PATIENCE = Patience(connect_s=5.0, status_s=1.0, first_s=3.0, whole_s=15.0)
LOOK_S = 0.05

Picture = dict[str, NodeState]


class _Looker:
    """Keeps what the rack says."""

    def __init__(self, house: House) -> None:
        self.mirror = Mirror(house.topics)

    def on_connected(self, session: str) -> None:
        """Nothing to do: what is retained comes by itself."""

    def on_disconnected(self, reason: str) -> None:
        """Nothing to do: the link comes back by itself."""

    def on_message(self, message: Message) -> None:
        """Take it into the picture."""
        self.mirror.take(message)

    def picture(self) -> Picture:
        """Return the nodes by id."""
        return {row.state.id: row.state for row in self.mirror.rows()}


async def look(
    house: House, enough: Callable[[Picture], bool], timeout_s: float
) -> Picture:
    """Return the nodes as the master sees them; what is known when the time is over.

    Args:
        house: The rack.
        enough: Told all that is known so far; the look ends when it says so.
        timeout_s: How long to look, seconds.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
    """
    endpoint = house.inside(OPERATOR)
    await check_connection(endpoint)
    looker = _Looker(house)
    link = connector(endpoint)(
        looker,
        client_id=f"pirack-node-{uuid.uuid4().hex[:8]}",
        subscriptions=looker.mirror.subscriptions(),
    )
    await link.start()
    try:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not enough(looker.picture()):
            if looker.mirror.whole:
                break
            await asyncio.sleep(LOOK_S)
        return looker.picture()
    finally:
        await link.stop()


async def command(house: House, node: str, verb: str, *args: str) -> Receipt:
    """Ask the master something about one node, by the one door there is.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
        NoAnswerError: There is no master.
    """
    endpoint = house.inside(house.commander(verb))
    await check_connection(endpoint)
    question = Question(
        scope=Scope(ScopeKind.NODE, node),
        verb=verb,
        command=Command(id=uuid.uuid4().hex, args=args, by=person()),
    )
    return await ask(
        connector(endpoint),
        house.topics,
        question,
        patience=PATIENCE,
        progress=lambda _receipt, _rows: None,
    )


async def sign_in(house: House, secret: Credentials) -> None:
    """Signs in once as the node, by the door it will use, and publishes nothing.

    That proves the door, the certificate and the password from here. The connection
    has no will: the master must not take it for the board, which may still be in its
    box.

    Raises:
        LinkError: It would not work for the node either; says why.
    """
    await check_connection(house.door(secret), secret.username)
