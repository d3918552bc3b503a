"""``pirack dashboard``: serve the pages of a rack."""

import argparse
import os
import sys

import msgspec

from broker.common.config import BrokerSettings, Document, RackSettings
from broker.common.errors import ConfigError, PiRackError
from broker.common.service import (
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_OK,
    add_common,
    load_common,
)
from dashboard.server.settings import DashboardSettings
from dashboard.server.users import (
    PageRole,
    Users,
    ensure_admin,
    generate_password,
    make_user,
)

HELP = "serve the pages of the rack"

EPILOG = """\
examples
  pirack dashboard --config /etc/pirack/pirack.toml       as a service does
  pirack dashboard --config pirack.toml --add-user ann --role operator
                                            another user; prints the password once
  pirack dashboard                          a broker on this machine, built-in values

A viewer may look, an operator also command nodes, an admin do everything. Without any
user it makes one at the first start, `admin`, and prints the password once.

exit codes
  0 stopped, or the user is made   1 it could not be served   2 wrong usage
  3 configuration
"""

REST_S = 0.04
"""How long heartbeats may wait to be read together: far less than a tick of the page,
and at a thousand boards it halves what receiving costs (bench/page.py). For the same
reason the page speaks MQTT 3.1.1: nothing it reads stands in a property."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the dashboard's own options and the common ones."""
    parser.add_argument(
        "--add-user",
        metavar="NAME",
        help="make a user, or give one a new password, print it, and end",
    )
    parser.add_argument(
        "--role",
        choices=[role.value for role in PageRole],
        default=PageRole.VIEWER.value,
        help="what the new user may do (default: viewer)",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Serves until told to stop, and return the exit code."""
    try:
        return _run(args, load_common(args))
    except (PiRackError, OSError) as error:
        sys.stderr.write(f"pirack: {error}\n")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED


def _run(args: argparse.Namespace, document: Document) -> int:
    settings = document.table("dashboard", DashboardSettings)
    if args.add_user:
        return _add_user(settings, args.add_user, PageRole(args.role))
    first = ensure_admin(settings.users_path)
    if first is not None:
        print(f"First user: admin, password {first} (told this once)", flush=True)
    _serve(settings, document)
    return EXIT_OK


def _add_user(settings: DashboardSettings, name: str, role: PageRole) -> int:
    password = generate_password()
    Users(settings.users_path).put(make_user(name, role, password))
    print(f"{name} ({role}) signs in with the password {password}")
    return EXIT_OK


def _serve(settings: DashboardSettings, document: Document) -> None:
    """Imports the web server only now: it is slow to load and reads its environment."""
    os.environ["NICEGUI_STORAGE_PATH"] = str(settings.data_path / "nicegui")
    from broker.client.mqtt_link import connector  # noqa: PLC0415  # with the web server
    from broker.mosquitto.credentials import beside, endpoint  # noqa: PLC0415  # with the web server
    from dashboard.web_server import serve  # noqa: PLC0415  # see the docstring

    broker = document.table("broker", BrokerSettings)
    rack = document.table("rack", RackSettings)
    connect_as = {
        role: connector(found)
        for role in (PageRole.OPERATOR, PageRole.ADMIN)
        if (found := beside(broker, role)) is not None
    }
    light = msgspec.structs.replace(endpoint(broker), rest_s=REST_S, mqtt5=False)
    serve(settings, broker, rack.name, connector(light, rack=rack.name), connect_as)
