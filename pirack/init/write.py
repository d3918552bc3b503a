"""Puts a rack's files in place; what is there already stays as it is."""

import asyncio
import os
import pwd
import shutil
import time
from pathlib import Path

import msgspec

from broker.common.atomic import replace
from broker.common.config import Document, load
from broker.common.errors import ConfigError, ControlError, LinkError
from broker.contract.topics import Topics
from broker.mosquitto import certificates, dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from dashboard.server.users import ensure_admin
from pirack import deploy_files, rack_config, toml_writer
from pirack.init.plan import HEAD, USERS, Plan, broker_config, tables
from pirack.node import members
from pirack.rack_config import RackAccess
from pirack.up import passwords


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """Result of ``write``.

    Args:
        made: Paths of the files that were made.
        password: Of the page's first user; empty when there were users already.
        notes: What was changed in a broker that was set up before, in words.
    """

    made: tuple[str, ...]
    password: str
    notes: tuple[str, ...] = ()


def write(plan: Plan) -> Written:
    """Makes everything that is missing, and brings a broker's users up to date.

    Args:
        plan: The rack.

    Raises:
        PiRackError: Mosquitto or openssl is missing, or a file is something else.
        OSError: Something cannot be written.
    """
    _require_users(plan)
    program = mosquitto.find()
    made: list[str] = []
    for directory in (plan.etc, plan.secrets, plan.state, plan.tls, plan.broker):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    plan.dashboard.mkdir(mode=0o750, exist_ok=True)
    users = [
        passwords.mqtt_user(plan.secrets / f"{name}.json", name, role)
        for name, role in USERS.items()
    ]
    users.append(passwords.mqtt_user(plan.own_credentials, plan.node, BrokerRole.NODE))
    users += members.added(plan.secrets, {user.name for user in users})
    made += _certificate(plan)
    notes = _who_may_connect(plan, users, made)
    shipped = deploy_files.mosquitto_conf().read_text(encoding="utf-8")
    text = broker_config(shipped, plan, program.plugin)
    made += _keep(plan.broker_config, text, 0o644)
    made += _keep(plan.config, HEAD + toml_writer.dumps(tables(plan)), 0o640)
    login = ensure_admin(plan.dashboard / "users.json")
    _give(plan)
    return Written(made=tuple(made), password=login or "", notes=notes)


def _require_users(plan: Plan) -> None:
    """Sees that the services' users are there before files are given to them.

    Raises:
        ConfigError: One is not, and this is root, who would give them.
    """
    ours = f"sh {deploy_files.directory()}/master/install"
    ways_out = {
        plan.owner: ours,
        plan.master_owner: ours,
        plan.dashboard_owner: ours,
        plan.broker_owner: "apt-get install mosquitto",
    }
    for user, way_out in ways_out.items():
        try:
            pwd.getpwnam(user)
        except KeyError as error:
            if os.geteuid() == 0:
                text = f"there is no user {user!r} here; do: sudo {way_out}"
                raise ConfigError(text) from error


def _certificate(plan: Plan) -> list[str]:
    files = rack_config.certificate_files(plan.secrets, plan.tls)
    new = certificates.ensure(files, plan.names, rack=plan.rack, now=time.time())
    return [str(files.certificate)] if new else []


def _who_may_connect(
    plan: Plan, users: list[BrokerUser], made: list[str]
) -> tuple[str, ...]:
    """Writes the plugin's file once; it is the broker's from then on.

    Later only users, rights and client ids that differ from what this release needs
    are changed: through the running broker, or in the file while it is down.

    Returns:
        What was changed, in words.
    """
    topics = Topics(plan.rack)
    if not plan.dynsec.exists():
        made.append(str(dynsec.write(plan.broker, users, topics)))
        return ()
    source = plan.config if plan.config.exists() else None
    described = load(source) if source else Document(tables(plan))
    found = rack_config.access_of(described, plan.config)
    if found is None:
        return (f"{plan.config} has no [enrol]: the broker's users stay as they are",)
    try:
        changed = asyncio.run(_change(found, users))
    except (LinkError, ControlError) as error:
        return (f"the broker's users could not be brought up to date: {error}",)
    if not changed:
        return ()
    return (
        f"brought up to date in the broker: {', '.join(changed)}",
        "The services must connect again with their new client ids:",
        "  sudo systemctl restart pirack-master pirack-dashboard pirack-agent",
    )


async def _change(found: RackAccess, users: list[BrokerUser]) -> tuple[str, ...]:
    if await members.running(found) is not None:
        return await members.bring_up_to_date(found, users)
    before = found.dynsec.read_bytes()
    dynsec.merge(found.dynsec.parent, users, found.topics)
    return (
        ("its users and their rights",) if found.dynsec.read_bytes() != before else ()
    )


def _keep(path: Path, text: str, mode: int) -> list[str]:
    if path.exists():
        return []
    replace(path, text.encode(), mode=mode)
    return [str(path)]


def _give(plan: Plan) -> None:
    """Gives each file to who needs it, and to nobody else."""
    files = rack_config.certificate_files(plan.secrets, plan.tls)
    for path, mode in (
        (plan.etc, 0o750),
        (plan.secrets, 0o750),
        (plan.state, 0o755),
        (plan.tls, 0o755),
        (plan.broker, 0o700),
        (plan.dashboard, 0o750),
        (files.key, 0o640),
    ):
        path.chmod(mode)
    if os.geteuid() != 0:
        return
    for path in (plan.etc, plan.secrets, plan.config):
        shutil.chown(path, "root", plan.owner)
    shutil.chown(plan.own_credentials, plan.owner, plan.owner)
    for name in USERS:
        if reader := plan.reader(name):
            shutil.chown(plan.secrets / f"{name}.json", reader, reader)
    for path in (plan.dashboard, plan.dashboard / "users.json"):
        shutil.chown(path, plan.dashboard_owner, plan.dashboard_owner)
    shutil.chown(files.key, "root", plan.broker_owner)
    for path in (plan.broker, plan.dynsec):
        shutil.chown(path, plan.broker_owner, plan.broker_owner)
