"""A process with thousands of open descriptors, as a page with many browsers has.

paho's own loops use ``select()`` and would silently never connect here.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from broker.contract.topics import Topics
from broker.mosquitto import dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import MosquittoChild, MosquittoConfig
from broker.mosquitto.dynsec import BrokerRole, BrokerUser
from tests.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import asyncio, os, resource, sys
from broker.client.mqtt_link import connector
from broker.client.endpoint import Endpoint
from broker.client.link import Subscription

MANY = 2_000
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MANY + 100)), hard))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(MANY)]
assert max(held) >= MANY, max(held)

class Listener:
    got = None
    def on_connected(self, session): link.publish("pirack/v1/lab/event", b"x", qos=1)
    def on_disconnected(self, reason): print(reason)
    def on_message(self, message): self.got.set()

async def main():
    global link
    listener = Listener()
    listener.got = asyncio.Event()
    endpoint = Endpoint(port=int(sys.argv[1]), username="master", password="secret")
    link = connector(endpoint)(
        listener, client_id="master", subscriptions=[Subscription("pirack/v1/lab/#")]
    )
    await link.start()
    await asyncio.wait_for(listener.got.wait(), 25)
    await link.stop()
    print("heard")

asyncio.run(main())
"""


async def test_a_process_with_2_000_descriptors_connects_and_hears(
    tmp_path: Path,
) -> None:
    found = mosquitto.find()
    user = BrokerUser(name="master", password="secret", role=BrokerRole.MASTER)
    dynsec.write(tmp_path, [user], Topics("lab"))
    plan = MosquittoConfig(directory=tmp_path, plugin=found.plugin, port=free_port())
    child = MosquittoChild(found, plan)
    await child.start()
    try:
        done = subprocess.run(  # noqa: ASYNC221  # nothing else runs on this loop
            [sys.executable, "-c", PROGRAM, str(plan.port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        await child.stop()
    assert done.stdout == "heard\n", done.stderr
