"""``pirack master``: keep the rack."""

import argparse
from pathlib import Path

from broker.client.mqtt_link import connector
from broker.common import kernel_clock, service
from broker.common.config import BrokerSettings, Document
from broker.mosquitto.credentials import endpoint
from master_service.install.service import read_setup
from master_service.power import rack_outlets
from master_service.power.wiring import read
from master_service.presence import probe
from master_service.service import Master

HELP = "keep the rack: verdicts, commands, events"

DESCRIPTION = """\
Keep one rack: judge every node, carry out commands with a receipt for each board,
switch power by way of a clean shutdown, and remember names, places and history.

  pirack master --config /etc/pirack/pirack.toml   as a service does
  pirack master                                    a broker on this machine, no outlets

Stopping, killing or starting it never switches an outlet.
"""

EPILOG = """\
what it answers (P is pirack/v1/<rack>; the answer comes on …/reply/<verb>)
  P/node/<id or name>/cmd/<verb>   P/stack/<n>/cmd/<verb>   P/tag/<tag>/cmd/<verb>
  P/rack/cmd/<verb>
  ping refresh identify run reboot shutdown update, and every alias of the nodes
  power on [nowait]    power off|cycle [force | force=<board>]
  install start [dry] [force] | confirm | cancel [leave|restore|off] | undo
  install swap <slot> <slot>
  name <name>    place <stack> <slot>    tag web -spare
  forget [undo]    snapshot    cancel [<id>]
  events [since=2h kind=power,fault …]    lock 2h <why> by=<who>    unlock [force]
  what interrupts more than one board needs confirm=<scope>, for example:
  mosquitto_pub -t P/stack/3/cmd/power -m 'cycle confirm=stack/3'
  on many boards it goes a few at a time (wave= pause_s= on_failure=stop|continue):
  mosquitto_pub -t P/rack/cmd/reboot -m 'wave=4 pause_s=5 confirm=rack'

its state is in [master] data_dir: master.db (SQLite). A broken one is kept aside.
"""

OPTIONS = {"master": ("data_dir",)}
"""Which keys of which table an option of the same name overrides."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the master's options."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where its state is kept (default: [master] data_dir)",
    )
    service.add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the master until it is told to end; returns the exit code.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = service.overlaid(service.load_common(args), args, OPTIONS)
    return service.run(make(document))


def make(document: Document) -> Master:
    """Returns the master that a configuration describes.

    Raises:
        ConfigError: The configuration cannot be used.
    """
    settings = read(document)
    broker = document.table("broker", BrokerSettings)
    return Master(
        settings,
        connect=connector(endpoint(broker), rack=settings.rack.name),
        prober=probe.make(settings.master.probe),
        outlets=rack_outlets.here(settings, broker),
        setup=read_setup(document, settings),
        boot_id=boot_id(),
        clock_synced=kernel_clock.synced,
    )


def boot_id(path: Path = BOOT_ID) -> str:
    """Returns the kernel's id of this boot; empty where it has none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
