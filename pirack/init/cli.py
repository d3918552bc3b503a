"""``pirack init``: set up a rack for good."""

import argparse
import platform
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import CertificateError, TopicError
from broker.common.service import EXIT_CONFIG, EXIT_OK, EXIT_USAGE
from broker.contract.topics import check_name
from broker.mosquitto import credentials
from node_agent import identity
from node_agent.vitals import LinuxBoard
from pirack import distribution, listen, terminal
from pirack.init.rack_files import (
    BROKER_CONFIG,
    CREDENTIALS,
    DROP_IN,
    SERVICES,
    UNITS,
    InitPlan,
    Written,
    write,
)

HELP = "set up a rack for good, with the system's Mosquitto and services"

EPILOG = """\
It writes, once: pirack.toml, a password for each service and person, a certificate
authority and the broker's certificate, who may connect, and Mosquitto's configuration;
then it prints the lines that install the services. What is there already stays, so
again is fine: it makes what is missing, and a certificate that will soon expire or
lacks a name.

examples
  sudo pirack init
  sudo pirack init --rack attic --name rack.home.arpa --name 192.168.1.5
  pirack init --etc ~/try/etc --state ~/try/state       look at it without root

exit codes
  0 done   2 wrong usage   3 configuration, files
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack init`` takes."""
    parser.add_argument(
        "--rack", default="lab", metavar="NAME", help="rack name (default: lab)"
    )
    parser.add_argument(
        "--listen",
        default="0.0.0.0",  # noqa: S104  # that is what a rack is for; encrypted, with passwords
        metavar="ADDRESS[:PORT]",
        help="encrypted listener for the nodes (default: 0.0.0.0:8883)",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="name or address by which nodes reach this machine (default: its "
        "address); more than once for more, the first is told to them",
    )
    parser.add_argument(
        "--etc",
        type=Path,
        default=Path("/etc/pirack"),
        metavar="DIR",
        help="configuration and secrets (default: /etc/pirack)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("/var/lib/pirack"),
        metavar="DIR",
        help="certificates and the broker's data (default: /var/lib/pirack)",
    )
    for option, owner, what in (
        ("--owner", "pirack", "this machine's agent, whose group reads pirack.toml"),
        ("--master-owner", "pirack-master", "the master"),
        ("--dashboard-owner", "pirack-dashboard", "the page"),
    ):
        parser.add_argument(
            option, default=owner, help=f"user of {what} (default: {owner})"
        )
    parser.add_argument(
        "--broker-owner",
        default="mosquitto",
        help="user of Mosquitto (default: mosquitto)",
    )


def run(args: argparse.Namespace) -> int:
    """Sets it up, prints what to do next, and returns the exit code.

    Raises:
        PiRackError: Something is missing or is something else.
    """
    try:
        plan = planned(args)
        done = write(plan)
    except TopicError as error:
        return _fail(str(error), EXIT_USAGE)
    except CertificateError as error:
        return _fail(str(error), EXIT_CONFIG)
    except OSError as error:
        return _fail(terminal.reason(error), EXIT_CONFIG)
    for line in told(plan, done):
        print(line)
    return EXIT_OK


def planned(args: argparse.Namespace) -> InitPlan:
    """Returns what the options ask for.

    Raises:
        CertificateError: A name is none.
        ConfigError: The listener's address is none.
        TopicError: The rack's name is illegal.
    """
    listener = listen.parse(args.listen)
    facts = LinuxBoard().facts()
    return InitPlan(
        rack=check_name(args.rack, "rack"),
        listen=listener,
        names=listen.names(listener, args.name, facts.addresses, platform.node()),
        node=_own_id(args.etc.absolute() / CREDENTIALS),
        etc=args.etc.absolute(),
        state=args.state.absolute(),
        owner=args.owner,
        master_owner=args.master_owner,
        dashboard_owner=args.dashboard_owner,
        broker_owner=args.broker_owner,
    )


def _own_id(kept: Path) -> str:
    """Returns this machine's id: that of an earlier run, else from the board.

    Args:
        kept: Credentials of this machine's agent.

    Raises:
        ConfigError: They are not credentials.
    """
    if kept.exists():
        return credentials.read(kept).username
    return identity.hardware_id(Path("/")) or identity.random_id()


def told(plan: InitPlan, done: Written) -> Iterator[str]:
    """Returns what the person is told."""
    for path in done.made:
        yield f"made  {path}"
    if not done.made and not done.notes:
        yield "Everything was there already."
    yield from done.notes
    yield ""
    yield f"Nodes of rack {plan.rack} connect to {plan.names[0]}:{plan.listen.port}."
    yield f"The broker's certificate is for {', '.join(plan.names)}."
    if done.password:
        yield ""
        yield f"The page's login, told this once:  admin   {done.password}"
    yield ""
    yield "Next, to run it:"
    yield ""
    yield from (f"  {line}" for line in steps(plan))
    yield ""
    yield "Then the page is http://127.0.0.1:8080/, and a Pi joins by:"
    yield ""
    yield "  sudo pirack node add <its id, serial or MAC address>"


def steps(plan: InitPlan) -> tuple[str, ...]:
    """Returns the lines that install and start the services.

    Raises:
        ConfigError: This installation lacks the units.
    """
    ours = distribution.deploy_directory()
    services = " ".join(SERVICES)
    return (
        f"sudo sh {ours / 'master/install'}",
        f"sudo install -m 644 {plan.broker_config} {BROKER_CONFIG}",
        f"sudo install -D -m 644 {ours / DROP_IN} {UNITS / DROP_IN}",
        "sudo systemctl daemon-reload",
        "sudo systemctl restart mosquitto",
        f"sudo systemctl enable --now mosquitto {services}",
    )


def _fail(text: str, code: int) -> int:
    terminal.complain(f"pirack init: {text}\n")
    return code
