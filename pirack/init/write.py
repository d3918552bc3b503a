"""Puts a rack's files in place; what is there already stays as it is."""

import os
import pwd
import shutil
import time
from pathlib import Path

from broker import certificates, credentials, dynsec, mosquitto
from broker.atomic import replace
from broker.dynsec import Role, User
from broker.errors import ConfigError
from broker.topics import Topics
from dashboard.users import ensure_admin
from pirack import deploy_files, house
from pirack.init.plan import HEAD, USERS, Plan, broker_config, tables
from pirack.up import passwords, toml


def write(plan: Plan) -> tuple[list[str], str]:
    """Make everything that is missing; return what was made, and the page's password.

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
        User(
            name=name,
            password=passwords.mqtt_password(plan.secrets / f"{name}.json", name),
            role=role,
        )
        for name, role in USERS.items()
    ]
    own = passwords.mqtt_password(plan.own_credentials, plan.node)
    users.append(User(name=plan.node, password=own, role=Role.NODE))
    made += _certificate(plan)
    made += _who_may_connect(plan, users)
    shipped = deploy_files.mosquitto_conf().read_text(encoding="utf-8")
    text = broker_config(shipped, plan, program.plugin)
    made += _keep(plan.broker_config, text, 0o644)
    made += _keep(plan.config, HEAD + toml.dumps(tables(plan)), 0o640)
    login = ensure_admin(plan.dashboard / "users.json")
    _give(plan)
    return made, login or ""


def _require_users(plan: Plan) -> None:
    """See that the services' users are there before files are given to them.

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
    files = house.certificate_files(plan.secrets, plan.tls)
    new = certificates.ensure(files, plan.names, rack=plan.rack, now=time.time())
    return [str(files.certificate)] if new else []


def _who_may_connect(plan: Plan, users: list[User]) -> list[str]:
    """Write the plugin's file once: it is the broker's from then on."""
    if plan.dynsec.exists():
        return []
    known = {user.name for user in users}
    users += [
        User(
            name=node,
            password=credentials.read(house.node_file(plan.secrets, node)).password,
            role=Role.NODE,
        )
        for node in house.added_nodes(plan.secrets)
        if node not in known
    ]
    return [str(dynsec.write(plan.broker, users, Topics(plan.rack)))]


def _keep(path: Path, text: str, mode: int) -> list[str]:
    if path.exists():
        return []
    replace(path, text.encode(), mode=mode)
    return [str(path)]


def _give(plan: Plan) -> None:
    """Give each file to who needs it, and to nobody else."""
    files = house.certificate_files(plan.secrets, plan.tls)
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
