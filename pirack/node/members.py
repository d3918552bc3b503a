"""Who may join: the passwords kept here, and what the broker was told of them."""

import contextlib
import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from broker.client.mqtt_link import check_connection, connector
from broker.common.errors import LinkError, LinkRefusedError, SilentError
from broker.mosquitto import credentials, dynsec
from broker.mosquitto.credentials import (
    Credentials,
    generate_client_id,
    generate_password,
)
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from broker.mosquitto.dynsec_control import DynsecControl
from pirack.rack_config import ADMIN, BROKER_ADMIN, RackAccess, added_nodes, node_file


def secret(house: RackAccess, node: str, *, renew: bool) -> tuple[Credentials, bool]:
    """Return a node's credentials, and whether they are new; made if missing.

    Kept before the broker hears of them: what breaks off in between is made whole by
    doing it again.

    Args:
        house: The rack.
        node: Id.
        renew: Make a new password in the place of the old one.

    Raises:
        ConfigError: The file is there but is no credentials file.
        OSError: It cannot be written.
    """
    path = house.node(node)
    if path.exists() and not renew:
        return credentials.read(path), False
    path.parent.mkdir(mode=0o700, exist_ok=True)
    made = Credentials(
        username=node,
        password=generate_password(),
        client_id=generate_client_id(node),
    )
    credentials.write(path, made)
    return made, True


async def admit(house: RackAccess, whom: Credentials, *, renewed: bool) -> bool:
    """Tell the broker; return whether it runs. If not, it will know when it starts.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
    """
    user = as_node(whom)
    control = await running(house)
    if control is None:
        dynsec.add_user(house.dynsec, user, house.topics)
        return False
    await control.add_user(user, renew=renewed)
    return True


def as_node(whom: Credentials) -> BrokerUser:
    """Return the broker's user for a node."""
    return BrokerUser(
        name=whom.username,
        password=whom.password,
        role=BrokerRole.NODE,
        client_id=whom.client_id,
    )


def added(secrets: Path, others: Set[str]) -> list[BrokerUser]:
    """Returns the broker's users for the nodes that were added.

    Args:
        secrets: Directory of the rack's passwords.
        others: Names that are left out: they have an entry of another kind.

    Raises:
        ConfigError: A file cannot be read.
    """
    return [
        as_node(credentials.read(node_file(secrets, node)))
        for node in added_nodes(secrets)
        if node not in others
    ]


async def bind(house: RackAccess, whom: Credentials) -> None:
    """Lets a node connect only with the client id that its new credentials have.

    For a board that an earlier release enrolled, once the credentials are on it.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us, or is down.
        OSError: The credentials cannot be written.
    """
    control = await running(house)
    if control is None:
        text = "the broker is down"
        raise LinkError(text)
    credentials.write(house.node(whom.username), whom)
    await control.bind_client_id(as_node(whom))


async def dismiss(house: RackAccess, node: str) -> bool:
    """Take a node's right to connect and its password; return whether the broker runs.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
        OSError: A file cannot be removed.
    """
    control = await running(house)
    if control is None:
        dynsec.remove_node(house.dynsec, node)
    else:
        await control.remove_node(node)
    with contextlib.suppress(FileNotFoundError):
        house.node(node).unlink()
    shutil.rmtree(house.bundles / node, ignore_errors=True)
    return control is not None


async def running(house: RackAccess) -> DynsecControl | None:
    """Return the running broker's door for changes; None while it is down.

    Raises:
        ConfigError: The administrator's credentials cannot be read.
        LinkError: There is a broker, and it refuses us: not ours, or not this rack's.
    """
    newer = (house.secrets / f"{BROKER_ADMIN}.json").exists()
    refusal = LinkError()
    # Of a rack that was set up by an earlier release the broker may know `admin` only.
    for user in (BROKER_ADMIN, ADMIN) if newer else (ADMIN,):
        endpoint = house.local_endpoint(user)
        try:
            await check_connection(endpoint)
        except (LinkRefusedError, SilentError) as error:
            refusal = error
        except LinkError:
            return None
        else:
            return DynsecControl(connector(endpoint), house.topics)
    raise refusal


async def bring_up_to_date(
    house: RackAccess, users: Sequence[BrokerUser]
) -> tuple[str, ...]:
    """Gives a running broker this release's users, rights and client ids.

    Args:
        house: The rack.
        users: Services and people of ours, and nodes with a file of their own.

    Returns:
        Users and roles that were changed; each change ended their connections.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us, or is down.
    """
    control = await running(house)
    if control is None:
        text = "the broker is down"
        raise LinkError(text)
    (chief,) = (user for user in users if user.role is BrokerRole.BROKER_ADMIN)
    made = await control.add_user(chief, renew=False)
    # As the new one from here on: a change of `admin` ends the connections of `admin`.
    control = await running(house) or control
    changed = await control.renew(users)
    return (chief.name, *changed) if made else changed
