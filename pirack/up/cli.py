"""``pirack up``: the whole rack on this machine."""

import argparse
import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from broker.client.mqtt_link import connector
from broker.common.config import load
from broker.common.errors import ConfigError, PiRackError
from broker.common.service import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from broker.common.tasks import Tasks, first
from broker.contract.topics import Topics
from pirack import option_types, runfile, terminal
from pirack.up import configuration, data_directory, ports, startup
from pirack.up.prepare import Prepared, prepare
from pirack.up.settings import Options, resolve
from pirack.up.supervisor import RackSupervisor

HELP = "run the whole rack on this machine"

EPILOG = """\
It starts a Mosquitto of its own, the master, the page, an agent that reports this
machine, and simulated boards; it prints the page's address, the login, and lines for
mosquitto_pub that work when pasted. A part that dies is started again. Ctrl-C stops
everything. Names, passwords and history stay in the data directory.

examples
  pirack up                              12 stacks of 4 simulated boards
  pirack up --simulate 0                 no simulation: this machine alone
  pirack up --simulate 0 --listen 0.0.0.0
                                         … and real Pis: see `pirack node --help`
  pirack up --simulate 2x4 --rack attic --data ~/attic
  pirack up --config pirack.toml         every option is a key there:
      [up] simulate, data, listen, names, allow_host_power   [rack] name, stacks, boards
      [broker] host, port   [dashboard] host, http_port

While it runs, <data>/run.json (mode 0600) says how to reach it; `pirack send`, `watch`
and `doctor` read it by themselves.

exit codes
  0 stopped by Ctrl-C or SIGTERM   1 the broker could not be started, or there is none
  2 wrong usage                    3 configuration: a file, a port, a directory
"""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack up`` takes."""
    parser.add_argument(
        "--simulate",
        metavar="SHAPE",
        help="stacks x boards to simulate, 0 for none (default: 12x4)",
    )
    parser.add_argument("--rack", metavar="NAME", help="rack name (default: lab)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="directory of all that is kept (default: $PIRACK_DATA, or .pirack)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="pirack.toml")
    parser.add_argument(
        "--allow-host-power",
        action="store_true",
        help="let a simulated rack reboot, switch off and update this machine too",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="show what the parts do, not only trouble",
    )
    _add_listeners(parser)


def _add_listeners(parser: argparse.ArgumentParser) -> None:
    """Adds where page and broker listen."""
    parser.add_argument(
        "--http-port",
        type=option_types.port,
        metavar="N",
        help="port of the page (default: 8080, or the next free one)",
    )
    parser.add_argument(
        "--http-host",
        metavar="ADDRESS",
        help="where the page listens (default: 127.0.0.1; 0.0.0.0 for the network)",
    )
    parser.add_argument(
        "--mqtt-port",
        type=option_types.port,
        metavar="N",
        help="port of the broker (default: 1883, or the next free one)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS[:PORT]",
        help="open an encrypted listener for real Pis too: 0.0.0.0 for the network, "
        "port 8883 (default: none, only this machine can connect)",
    )
    parser.add_argument(
        "--name",
        action="append",
        metavar="HOST",
        help="name or address by which Pis reach this machine (default: its address); "
        "more than once for more, the first is told to them",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the rack until it is told to stop; returns the exit code.

    Raises:
        ConfigError: What was asked for cannot be.
        BrokerError: There is no Mosquitto, or it cannot be started.
    """
    began = time.monotonic()
    document = load(args.config)
    configuration.check(document)
    options = resolve(args, document)
    data_directory.make(options.data)
    with data_directory.locked(options.data), ports.Promises() as promises:
        try:
            prepared = prepare(options, promises)
        except OSError as error:
            text = (
                f"{error.filename or options.data}: cannot be written: {error.strerror}"
            )
            raise ConfigError(text) from error
        return asyncio.run(_live(prepared, options, began))


def say(text: str) -> None:
    """Prints for the person at the terminal; a closed terminal stops nothing."""
    with contextlib.suppress(OSError):
        terminal.say(text)


async def _live(prepared: Prepared, options: Options, began: float) -> int:
    """Starts, announces, keeps and stops the rack."""
    ended = _stop_event()
    data = options.data
    rack: RackSupervisor

    def note() -> None:
        run_file = prepared.run_file({"supervisor": os.getpid()} | rack.pids())
        try:
            runfile.write(data, run_file)
        except OSError as error:  # a full card must not end the rack
            say(f"{data}: the run file cannot be written: {error.strerror}")

    rack = prepared.supervisor(say, note)
    background = Tasks()
    try:
        await rack.start()
        note()
        say("\n".join(startup.lines(prepared.announcement())))
        _ = background.spawn("report that all is up", _report(prepared, began))
        _ = await first(rack.given_up(), ended.wait())
    except PiRackError as error:
        terminal.complain(f"pirack up: {error}\n")
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    finally:
        await background.stop()
        say("Stopping …")
        await rack.stop()
        runfile.remove(data)
        say("Stopped.")
    return EXIT_OK


def _stop_event() -> asyncio.Event:
    """Returns an event that Ctrl-C and the usual signals set."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ended.set)
    return ended


async def _report(prepared: Prepared, began: float) -> None:
    """Prints, once, that everything is up."""
    readiness = await startup.wait(
        connector(prepared.operator),
        Topics(prepared.decided.options.rack),
        (prepared.page_host, prepared.decided.http_port),
        nodes=prepared.nodes,
        began=began,
    )
    say(f"{readiness}\nCtrl-C stops everything.")
