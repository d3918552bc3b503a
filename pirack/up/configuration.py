"""Every table of ``pirack.toml``, each read by the package that owns it."""

from broker.common.config import BrokerSettings, Document, RackSettings
from broker.common.service import TABLES
from dashboard.server.settings import DashboardSettings
from master_service.power import wiring
from node_agent.settings import AgentSettings
from node_agent.simulator.settings import SimulatorSettings
from pirack.rack_config import EnrolSettings, UpSettings

OWNERS: dict[str, type] = {
    "rack": RackSettings,
    "broker": BrokerSettings,
    "agent": AgentSettings,
    "simulator": SimulatorSettings,
    "dashboard": DashboardSettings,
    "up": UpSettings,
    "enrol": EnrolSettings,
}


def check(document: Document) -> None:
    """Reads all of a configuration, as the parts of a rack will.

    Raises:
        ConfigError: A table, a key or a value cannot be used.
        TopicError: A name is illegal.
    """
    document.require_known(TABLES)
    for name, kind in OWNERS.items():
        document.table(name, kind)
    wiring.read(document)
