"""What the running rack says of its nodes, and how it is asked something."""

from collections.abc import Callable

from broker.client.mqtt_link import check_connection, connector
from broker.contract.messages import NodeState
from broker.contract.topics import Scope, ScopeKind
from broker.mosquitto.credentials import Credentials
from pirack.rack_client import SHORT_PATIENCE, RackClient, question
from pirack.rack_config import OPERATOR, RackAccess
from pirack.rack_picture import overview
from pirack.receipt import Receipt

Picture = dict[str, NodeState]


async def look(
    house: RackAccess, enough: Callable[[Picture], bool], timeout_s: float
) -> Picture:
    """Returns the nodes as the master sees them; what is known when the time is over.

    Args:
        house: The rack.
        enough: Gets all that is known so far; the look ends when it returns True.
        timeout_s: How long to look, seconds.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
    """
    endpoint = house.local_endpoint(OPERATOR)
    await check_connection(endpoint)
    client = RackClient(
        connector(endpoint), house.topics, name="node", hears=overview(house.topics)
    )
    async with client:
        picture = client.picture
        await client.wait_for(lambda: enough(picture.nodes) or picture.whole, timeout_s)
        return picture.nodes


async def command(house: RackAccess, node: str, verb: str, *args: str) -> Receipt:
    """Asks the master something about one node.

    Raises:
        ConfigError: The operator's credentials cannot be read.
        LinkError: The broker cannot be reached.
        NoAnswerError: There is no master.
    """
    endpoint = house.local_endpoint(house.commander(verb))
    await check_connection(endpoint)
    scope, topics = Scope(ScopeKind.NODE, node), house.topics
    replies = [topics.reply(scope, verb)]
    client = RackClient(connector(endpoint), topics, name="node", replies=replies)
    async with client:
        asked = question(scope, verb, *args)
        return await client.ask(asked, patience=SHORT_PATIENCE)


async def sign_in(house: RackAccess, secret: Credentials) -> None:
    """Signs in once as the node, by the door it will use, and publishes nothing.

    That proves the door, the certificate and the password from here. The connection
    has no will: the master must not take it for the board, which may still be in its
    box.

    Raises:
        LinkError: It would not work for the node either; says why.
    """
    await check_connection(house.tls_endpoint(secret), secret.username)
