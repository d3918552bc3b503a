"""A node of one's own: it does some work and reports a number about it.

    python examples/counter_node.py --host 10.0.0.1

Everything the agent does it does too: status, details, heartbeats, orders. On top of
that, ``extra`` goes out with every heartbeat, and is seen by

    mosquitto_sub -t 'pirack/v1/lab/node/+/heartbeat'
"""

import argparse
import logging
from collections.abc import Mapping

from broker import service
from broker.client import connector
from broker.endpoint import Endpoint
from broker.messages import MasterDetails
from broker.topics import Topics
from node_agent.actions import load
from node_agent.node import Node
from node_agent.subprocess_runner import SubprocessRunner
from node_agent.vitals import LinuxBoard

log = logging.getLogger("counter")


class CounterNode(Node):
    """Counts heartbeats, the simplest of all work."""

    count = 0

    async def extra(self) -> Mapping[str, float]:
        """Return the numbers to report; the unit stands in the name."""
        self.count += 1
        return {"counted_beats": self.count}

    def on_master(self, details: MasterDetails) -> None:
        """Take note of the master of the rack."""
        log.info("our master is %s, version %s", details.hostname, details.version)


def main() -> int:
    """Run it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="the broker's address")
    parser.add_argument("--port", type=int, default=1883, help="the broker's port")
    parser.add_argument("--rack", default="lab", help="name of the rack")
    parser.add_argument("--id", default="pi-counter", help="id of this node")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    node = CounterNode(
        asked.id,
        board=LinuxBoard(),
        actions=load(),
        runner=SubprocessRunner(),
        connect=connector(Endpoint(host=asked.host, port=asked.port)),
        topics=Topics(asked.rack),
        interval_s=2.0,
    )
    return service.run(node)


if __name__ == "__main__":
    raise SystemExit(main())
