"""A node of one's own: it does some work and reports a number about it.

Let it join like a board, then run it with the configuration that was written for it:

    pirack node add pi-c0ffee01 --name counter --to /tmp --at /tmp/pi-c0ffee01
    python examples/counter_node.py --config /tmp/pi-c0ffee01/pirack.toml

Everything the agent does it does too: status, details, heartbeats, orders. On top of
that, ``extra`` goes out with every heartbeat, and is seen by

    mosquitto_sub -t pirack/v1/lab/node/pi-c0ffee01/heartbeat
"""

import argparse
import logging
from collections.abc import Mapping

from broker.client.mqtt_link import connector
from broker.common import service
from broker.common.config import BrokerSettings, RackSettings
from broker.common.errors import PiRackError
from broker.contract.messages import MasterDetails
from broker.contract.topics import Topics
from broker.mosquitto.credentials import endpoint
from node_agent.actions import load
from node_agent.node import Node
from node_agent.runner import SubprocessRunner
from node_agent.vitals import LinuxBoard

log = logging.getLogger("counter")


class CounterNode(Node):
    """Counts heartbeats, the simplest of all work."""

    count = 0

    async def extra(self) -> Mapping[str, float]:
        """Returns the numbers to report; the unit stands in the name."""
        self.count += 1
        return {"counted_beats": self.count}

    def on_master(self, details: MasterDetails) -> None:
        """Takes note of the master of the rack."""
        log.info("our master is %s, version %s", details.hostname, details.version)


def main() -> int:
    """Runs it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--id", help="id of this node (default: its broker username)")
    service.add_common(parser)  # --config, --log-level, --log-file
    asked = parser.parse_args()
    try:
        return service.run(make(asked))
    except PiRackError as error:
        text = f"counter_node: {error}"
        raise SystemExit(text) from error


def make(asked: argparse.Namespace) -> CounterNode:
    """Returns the node that the options and the configuration describe.

    Raises:
        PiRackError: The configuration cannot be used.
    """
    document = service.load_common(asked)
    broker = endpoint(document.table("broker", BrokerSettings))
    return CounterNode(
        asked.id or broker.username or "pi-counter",
        board=LinuxBoard(),
        actions=load(),
        runner=SubprocessRunner(),
        connect=connector(broker),
        topics=Topics(document.table("rack", RackSettings).name),
        interval_s=2.0,
    )


if __name__ == "__main__":
    raise SystemExit(main())
