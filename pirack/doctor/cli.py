"""``pirack doctor``: the report."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from broker.common.config import BrokerSettings, Document, load
from broker.common.errors import ConfigError, PiRackError, TopicError
from broker.common.log import printable, printable_json
from broker.common.service import EXIT_FAILED, EXIT_OK
from dashboard.server.settings import DashboardSettings
from master_service.rack.settings import MasterSettings
from pirack import rack_config, runfile
from pirack.doctor.check_result import CheckResult, Severity, fail, warn
from pirack.runfile import RunFile

HELP = "check everything a person would, and say what to do"

EPILOG = """\
examples
  pirack doctor                          this machine, and the rack `pirack up` runs
  pirack doctor --config pirack.toml     a rack found by configuration
  pirack doctor --json | jq -r 'select(.level=="fail").advice'

It asks the rack for one ping and, with [install], as an invented board for an address,
to see who else would give one; it changes nothing, and sends nothing else.

exit codes
  0 nothing failed (warnings may be there)   1 something failed   2 wrong usage
"""

_MARK = {Severity.OK: "ok  ", Severity.WARN: "warn", Severity.FAIL: "FAIL"}
_COLOUR = {Severity.OK: "32", Severity.WARN: "33", Severity.FAIL: "1;31"}
PAGE_START_S = 20.0
"""An installed page listens some seconds after it was started, on a Pi."""
_SUBJECT_WIDTH = 18


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what ``pirack doctor`` takes."""
    parser.add_argument(
        "--json", action="store_true", help="a JSON object a line for each finding"
    )
    rack_config.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Checks, prints findings as they come, and returns the exit code."""
    worst = EXIT_OK
    for finding in findings(args):
        print(_json(finding) if args.json else _words(finding), flush=True)
        if finding.level is Severity.FAIL:
            worst = EXIT_FAILED
    return worst


def findings(args: argparse.Namespace) -> Iterator[CheckResult]:
    """Checks from the inside out: this machine, its files, then the running rack."""
    # Only now: completion and --help need none of what the checks read.
    from broker.common import kernel_clock  # noqa: PLC0415  # as above
    from pirack.doctor import install, machine, power  # noqa: PLC0415  # as above

    yield machine.python(sys.version_info[:3])
    yield from machine.dependencies()
    yield from machine.broker_program()
    yield machine.clock(synced=kernel_clock.synced())
    yield machine.icmp()
    config, run = _configuration(args)
    data = _data_directory(args, config, run)
    if data is not None:
        yield machine.data_directory(data.absolute())
        yield from machine.broker_stores(data)
    yield from machine.configuration_file(config)
    yield from power.check(config)
    yield from install.check(config)
    yield from _running(args, config)


def _configuration(args: argparse.Namespace) -> tuple[Path | None, RunFile | None]:
    """Returns the file to check, and the ``pirack up`` that runs, if one is meant.

    The file is the one named, that of the running rack, or that of a rack for good
    where nothing else is meant.
    """
    named: Path | None = args.config
    try:
        _, run = rack_config.running(args)
    except ConfigError:
        return named, None  # named by the check of the rack
    if named or args.data or run:
        return named or (Path(run.config) if run and run.config else None), run
    found = os.access(rack_config.PRODUCTION, os.R_OK)
    return rack_config.PRODUCTION if found else None, None


def _data_directory(
    args: argparse.Namespace, config: Path | None, run: RunFile | None
) -> Path | None:
    """Returns where this rack keeps its state: ``pirack up``, or the master alone.

    None where the file that would say it cannot be used, which is another finding.
    """
    if run is not None:
        return rack_config.running(args)[0]
    if config is None or not _is_for_good(config):
        return runfile.data_directory(args.data)
    try:
        return Path(load(config).table("master", MasterSettings).data_dir)
    except ConfigError:
        return None


def _is_for_good(config: Path) -> bool:
    """Returns whether a file is one that ``pirack init`` wrote."""
    if config == rack_config.PRODUCTION:
        return True
    try:
        return bool(load(config).table("enrol", rack_config.EnrolSettings).host)
    except ConfigError:
        return False  # the check of the configuration says it


def _running(args: argparse.Namespace, config: Path | None) -> Iterator[CheckResult]:
    """Checks the rack the options name; where none runs, whether one could."""
    from pirack.doctor import listener, live  # noqa: PLC0415  # as in findings

    try:
        place = rack_config.find_rack(args)
    except (ConfigError, TopicError) as error:
        if config is None or not _is_for_good(config):  # else its own broker is there
            yield from _ports(config)
        missing = isinstance(error, rack_config.NoRackError)
        other = "mend that, or name another rack: --data, --config"
        advice = "start it: pirack up (or make run)" if missing else other
        yield warn("rack", str(error), advice)
        return
    try:
        yield from asyncio.run(live.rack(place))
    except PiRackError as error:
        yield fail("broker", str(error), "correct it in the configuration")
        return
    if place.run:  # its description of the listener is in its data directory
        data, _ = rack_config.running(args)
        yield from listener.check(None, data)
    else:
        yield from listener.check(args.config, args.data)
    if place.run:
        yield live.page(place.run.url)
    else:
        installed = Path("/run/systemd/system").is_dir()  # as sd_booted(3) asks
        yield live.page(_page_url(config), start_s=PAGE_START_S if installed else 0)


def _ports(config: Path | None) -> Iterator[CheckResult]:
    from pirack.doctor import machine  # noqa: PLC0415  # as in findings

    document = _document(config)
    broker = document.table("broker", BrokerSettings)
    page = document.table("dashboard", DashboardSettings)
    yield machine.port("broker port", broker.host, broker.port)
    yield machine.port("page port", page.host, page.http_port)


def _page_url(config: Path | None) -> str:
    page = _document(config).table("dashboard", DashboardSettings)
    host = "127.0.0.1" if page.host == "0.0.0.0" else page.host  # noqa: S104  # compared
    return f"http://{host}:{page.http_port}/"


def _document(config: Path | None) -> Document:
    """Returns the file; built-in values where it is unusable, which is reported."""
    try:
        return load(config)
    except ConfigError:
        return Document()


def _words(finding: CheckResult) -> str:
    mark = _MARK[finding.level]
    if sys.stdout.isatty():
        mark = f"\x1b[{_COLOUR[finding.level]}m{mark}\x1b[0m"
    text, advice = printable(finding.text), printable(finding.advice)
    line = f"{mark} {finding.subject:<{_SUBJECT_WIDTH}} {text}"
    if not finding.advice:
        return line
    return f"{line}\n{'':5}{'':{_SUBJECT_WIDTH}} → {advice}"


def _json(finding: CheckResult) -> str:
    text = json.dumps(msgspec.to_builtins(finding), ensure_ascii=False)
    return printable_json(text)
