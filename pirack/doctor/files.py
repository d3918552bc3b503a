"""Checks of the configuration file: every table read by the package that owns it."""

from collections.abc import Iterator
from pathlib import Path

from broker.config import Document, load
from broker.errors import PiRackError
from broker.service import TABLES
from broker.settings import BrokerSettings, RackSettings
from dashboard.settings import DashboardSettings
from master_service import settings as master
from node_agent.settings import AgentSettings
from node_agent.simulator.settings import SimulatorSettings
from pirack.doctor.finding import Finding, fail, ok
from pirack.house import EnrolSettings
from pirack.up.settings import UpSettings

OWNERS: dict[str, type] = {
    "rack": RackSettings,
    "broker": BrokerSettings,
    "agent": AgentSettings,
    "simulator": SimulatorSettings,
    "dashboard": DashboardSettings,
    "up": UpSettings,
    "enrol": EnrolSettings,
}


def configuration(path: Path | None) -> Iterator[Finding]:
    """Check a configuration file, each table by its owner; None is the built-in one."""
    if path is None:
        yield ok("configuration", "none given: built-in values")
        return
    try:
        document = load(path)
        _read(document)
    except PiRackError as error:
        yield fail("configuration", str(error), "correct that key in the file")
    else:
        yield ok("configuration", f"{path}: every table and key is known")


def _read(document: Document) -> None:
    document.require_known(TABLES)
    for name, kind in OWNERS.items():
        document.table(name, kind)
    master.read(document)
