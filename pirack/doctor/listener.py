"""Checks of the encrypted listener: its certificate, and who may connect."""

import asyncio
import socket
import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from broker.common.errors import ConfigError, PiRackError
from broker.mosquitto import credentials
from broker.mosquitto.certificates import DAY_S
from broker.mosquitto.dynsec import PEOPLE
from pirack import broker_users, rack_config
from pirack.doctor.check_result import CheckResult, fail, ok, warn
from pirack.rack_config import RackAccess

SOON_DAYS = 30
TIMEOUT_S = 5.0
NAMED = 5
"""How many names are listed before the rest is counted."""


def check(config: Path | None, data: Path | None) -> Iterator[CheckResult]:
    """Checks the listener of the rack these name, else of the rack found here."""
    try:
        found = rack_config.read_access(rack_config.locate(config, data))
    except ConfigError:
        yield ok("for Pis", "no encrypted listener: only this machine connects")
        return
    except PiRackError as error:
        yield fail("for Pis", str(error), "correct it in the configuration")
        return
    yield certificate(found, time.time())
    try:
        users, mine = asyncio.run(_users(found)), known(found)
    except PiRackError as error:
        yield warn("who may connect", str(error), "be root where secrets are root's")
        return
    yield from members_known(users.clients, mine, frozenset(found.nodes()))
    yield rights(users.outdated)
    yield client_ids(users.client_ids)


def certificate(found: RackAccess, now: float) -> CheckResult:
    """Checks by a connection that nodes trust the broker, and for how long.

    Args:
        now: Unix time, seconds.
    """
    where = f"{found.host}:{found.port}"
    try:
        expires = _served(found)
    except ssl.SSLCertVerificationError as error:
        text = f"nodes would not trust {where}: {error.verify_message}"
        return fail("certificate", text, _RENEW)
    except OSError as error:
        text = f"{where} cannot be reached, as nodes do: {error}"
        advice = f"see [enrol] in {found.source}: is it this machine's address still?"
        return fail("certificate", text, advice)
    return expiry(where, (expires - now) / DAY_S)


def expiry(where: str, days: float) -> CheckResult:
    """Checks for how many days a certificate is good."""
    text = f"{where}: trusted, for {days:.0f} more days"
    if days > SOON_DAYS:
        return ok("certificate", text)
    return warn("certificate", text, _RENEW)


_RENEW = (
    "`pirack up` renews it when it starts; else: sudo pirack init, then sudo "
    "systemctl restart mosquitto"
)


def members_known(
    clients: frozenset[str], mine: frozenset[str], added: frozenset[str]
) -> Iterator[CheckResult]:
    """Compares whom the broker lets in with whom we gave a password; pure.

    Args:
        mine: Services, people, and boards that are not added by hand.
    """
    subject = "who may connect"
    strangers = sorted(clients - mine - added)
    missing = sorted(added - clients)
    if strangers:
        text = f"the broker lets in users that were not added: {_some(strangers)}"
        advice = "take it away: pirack node forget <id>; or see who made it"
        yield warn(subject, text, advice)
    if missing:
        text = f"added, but unknown to the broker: {_some(missing)}"
        yield fail(subject, text, "do `pirack node add` again for each")
    if not strangers and not missing:
        nodes = "node was" if len(added) == 1 else "nodes were"
        yield ok(subject, f"{len(added)} {nodes} added; the broker knows no others")


def rights(outdated: Collection[str]) -> CheckResult:
    """Checks that the broker's roles allow what this release needs, and no more."""
    if not outdated:
        return ok("rights", "the broker's roles are those of this release")
    text = f"the broker has missing or former rights in: {_some(sorted(outdated))}"
    advice = "sudo pirack init brings them up to date; `pirack up` does when it starts"
    return fail("rights", text, advice)


def client_ids(bound: Mapping[str, str]) -> CheckResult:
    """Checks that nodes and services connect with ids that others cannot guess.

    Args:
        bound: The client id that the broker demands, by user.
    """
    guessable = sorted(user for user, client_id in bound.items() if client_id == user)
    if not guessable:
        return ok("client ids", f"none of {len(bound)} can be guessed")
    text = (
        f"{len(guessable)} of {len(bound)} can be guessed, so that any other user can "
        f"end these connections: {_some(guessable)}"
    )
    advice = (
        "boards: pirack deploy, or pirack node add --renew; services: sudo pirack init"
    )
    return warn("client ids", text, advice)


def known(found: RackAccess) -> frozenset[str]:
    """Returns who has a password here without being added as a node.

    Raises:
        ConfigError: A file cannot be read.
    """
    names = {one.stem for one in found.secrets.glob("*.json")}
    simulated = found.secrets / "simulated.json"
    if simulated.exists():
        names |= msgspec.json.decode(simulated.read_bytes(), type=dict[str, str]).keys()
    if found.own is not None:
        names.add(credentials.read(found.own).username)
    return frozenset(names)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _served(found: RackAccess) -> float:
    """Returns until when the listener's certificate is good, Unix time."""
    context = ssl.create_default_context(cafile=str(found.files.authority))
    place = (found.host, found.port)
    with (
        socket.create_connection(place, TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=found.host) as encrypted,
    ):
        shown = encrypted.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))


class _Users(msgspec.Struct, frozen=True):
    """What the broker says of its users.

    Args:
        outdated: Roles whose rights are not those of this release.
        client_ids: The client id that a node or service must have, by its name.
    """

    clients: frozenset[str]
    outdated: tuple[str, ...]
    client_ids: Mapping[str, str]


async def _users(found: RackAccess) -> _Users:
    control = await broker_users.running(found)
    if control is None:
        text = "the broker is down, so it cannot be asked"
        raise ConfigError(text)
    clients = await control.clients()
    ids = await control.client_ids(clients - {role.value for role in PEOPLE})
    return _Users(
        clients,
        await control.outdated(),
        {user: client_id for user, client_id in ids.items() if client_id},
    )
