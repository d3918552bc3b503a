"""Who may connect to the broker: the passwords kept here, and what it was told.

A password is kept before the broker hears of it: what breaks off in between is made
whole by doing it again.
"""

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


def node_secret(
    access: RackAccess, node: str, *, renew: bool
) -> tuple[Credentials, bool]:
    """Returns a node's credentials, and whether they are new; makes missing ones.

    Args:
        access: The rack.
        node: Id.
        renew: Make a new password in the place of the old one.

    Raises:
        ConfigError: The file is there but is not a credentials file.
        OSError: It cannot be written.
    """
    path = access.node(node)
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


async def admit(access: RackAccess, whom: Credentials, *, renewed: bool) -> bool:
    """Tells the broker; returns whether it runs. If not, it will know when it starts.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
    """
    user = as_node(whom)
    control = await running(access)
    if control is None:
        dynsec.add_user(access.dynsec, user, access.topics)
        return False
    await control.add_user(user, renew=renewed)
    return True


def as_node(whom: Credentials) -> BrokerUser:
    """Returns the broker's user for a node."""
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


async def bind(access: RackAccess, whom: Credentials) -> None:
    """Lets a node connect only with the client id that its new credentials have.

    For a board that an earlier release enrolled, once the credentials are on it.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us, or is down.
        OSError: The credentials cannot be written.
    """
    control = await running(access)
    if control is None:
        text = "the broker is down"
        raise LinkError(text)
    credentials.write(access.node(whom.username), whom)
    await control.bind_client_id(as_node(whom))


async def dismiss(access: RackAccess, node: str) -> bool:
    """Takes a node's password and right to connect; returns whether the broker runs.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
        OSError: A file cannot be removed.
    """
    control = await running(access)
    if control is None:
        dynsec.remove_node(access.dynsec, node)
    else:
        await control.remove_node(node)
    with contextlib.suppress(FileNotFoundError):
        access.node(node).unlink()
    shutil.rmtree(access.bundles / node, ignore_errors=True)
    return control is not None


async def running(access: RackAccess) -> DynsecControl | None:
    """Returns what changes the running broker's users; None while it is down.

    Raises:
        ConfigError: The administrator's credentials cannot be read.
        LinkError: There is a broker, and it refuses us: not ours, or not this rack's.
    """
    newer = (access.secrets / f"{BROKER_ADMIN}.json").exists()
    refusal = LinkError()
    # Of a rack that was set up by an earlier release the broker may know `admin` only.
    for user in (BROKER_ADMIN, ADMIN) if newer else (ADMIN,):
        endpoint = access.local_endpoint(user)
        try:
            await check_connection(endpoint)
        except (LinkRefusedError, SilentError) as error:
            refusal = error
        except LinkError:
            return None
        else:
            return DynsecControl(connector(endpoint), access.topics)
    raise refusal


async def bring_up_to_date(
    access: RackAccess, users: Sequence[BrokerUser]
) -> tuple[str, ...]:
    """Gives a running broker this release's users, rights and client ids.

    Args:
        access: The rack.
        users: Services and people of ours, and nodes with a file of their own.

    Returns:
        Users and roles that were changed; each change ended their connections.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us, or is down.
    """
    control = await running(access)
    if control is None:
        text = "the broker is down"
        raise LinkError(text)
    (chief,) = (user for user in users if user.role is BrokerRole.BROKER_ADMIN)
    made = await control.add_user(chief, renew=False)
    # As the new one from here on: a change of `admin` ends the connections of `admin`.
    control = await running(access) or control
    changed = await control.renew(users)
    return (chief.name, *changed) if made else changed
