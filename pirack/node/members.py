"""Who may join: the passwords kept here, and what the broker was told of them."""

import contextlib
import shutil

from broker import credentials, dynsec_file
from broker.client import connector
from broker.credentials import Credentials, generate_password
from broker.dynsec import Role, User
from broker.dynsec_control import Control
from broker.errors import LinkError, RefusedError, SilentError
from broker.reach import reach
from pirack.house import ADMIN, House


def secret(house: House, node: str, *, renew: bool) -> tuple[Credentials, bool]:
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
    made = Credentials(username=node, password=generate_password())
    credentials.write(path, made)
    return made, True


async def admit(house: House, whom: Credentials, *, renewed: bool) -> bool:
    """Tell the broker; return whether it runs. If not, it will know when it starts.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
    """
    user = User(name=whom.username, password=whom.password, role=Role.NODE)
    control = await running(house)
    if control is None:
        dynsec_file.admit(house.dynsec, user, house.topics)
        return False
    await control.admit(user, renew=renewed)
    return True


async def dismiss(house: House, node: str) -> bool:
    """Take a node's right to connect and its password; return whether the broker runs.

    Raises:
        ConfigError: A file cannot be used.
        ControlError: The broker refused the change.
        LinkError: The broker refused us.
        OSError: A file cannot be removed.
    """
    control = await running(house)
    if control is None:
        dynsec_file.dismiss(house.dynsec, node)
    else:
        await control.dismiss(node)
    with contextlib.suppress(FileNotFoundError):
        house.node(node).unlink()
    shutil.rmtree(house.bundles / node, ignore_errors=True)
    return control is not None


async def running(house: House) -> Control | None:
    """Return the running broker's door for changes; None while it is down.

    Raises:
        ConfigError: The admin's credentials cannot be read.
        LinkError: There is a broker, and it refuses us: not ours, or not this rack's.
    """
    endpoint = house.inside(ADMIN)
    try:
        await reach(endpoint)
    except (RefusedError, SilentError):
        raise
    except LinkError:
        return None
    return Control(connector(endpoint), house.topics)
