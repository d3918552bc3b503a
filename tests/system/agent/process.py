"""The real agent as a process, a real Mosquitto, and who watches both."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.client.endpoint import Endpoint
from broker.client.link import Link, Message, Subscription
from broker.client.mqtt_link import connector
from broker.contract.messages import Details, Phase, Result, decode
from broker.contract.topics import NodeLeaf, Topics

ROOT = Path(__file__).parents[3]
TOPICS = Topics("lab")
ID = "pi-test"
INTERVAL_S = 0.5
ECHO = "observer/echo"


class Observer:
    """Everything the broker said about the node, and when."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[float, Message]] = []
        self._more = asyncio.Event()
        filters = [
            Subscription(TOPICS.node(ID, leaf), qos=1)
            for leaf in NodeLeaf
            if leaf is not NodeLeaf.ORDER
        ]
        filters.append(Subscription(ECHO, qos=1))
        self.link: Link = connector(Endpoint(port=port))(
            self, client_id="observer", subscriptions=filters
        )

    def on_connected(self, session: str) -> None: ...

    def on_disconnected(self, reason: str) -> None: ...

    def on_message(self, message: Message) -> None:
        self.messages.append((time.monotonic(), message))
        self._more.set()

    def order(self, verb: str, *, retain: bool = False, **more: Any) -> None:  # noqa: ANN401  # fields of Order
        fields = {"id": "o1", "verb": verb} | more
        topic = TOPICS.node(ID, NodeLeaf.ORDER)
        self.link.publish(topic, json.dumps(fields).encode(), qos=1, retain=retain)

    async def taken(self) -> None:
        """Wait until the broker has taken what was published so far."""
        seen = len(self.messages)
        self.link.publish(ECHO, b"", qos=1)
        await self.until(lambda: ECHO in [one.topic for _, one in self.messages[seen:]])

    def said(self, leaf: NodeLeaf) -> list[bytes]:
        topic = TOPICS.node(ID, leaf)
        return [one.payload for _, one in self.messages if one.topic == topic]

    @property
    def details(self) -> list[Details]:
        return [decode(payload, Details) for payload in self.said(NodeLeaf.DETAILS)]

    def results(self, order_id: str = "o1") -> list[Phase]:
        found = (decode(payload, Result) for payload in self.said(NodeLeaf.RESULT))
        return [result.phase for result in found if result.id == order_id]

    async def until(self, condition: Callable[[], bool], within_s: float = 60) -> float:
        """Wait until something has been said; return the moment it was received."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._more.clear()
                await self._more.wait()
        return self.messages[-1][0]

    async def until_beating(self) -> None:
        beats = len(self.said(NodeLeaf.HEARTBEAT))
        await self.until(lambda: len(self.said(NodeLeaf.HEARTBEAT)) > beats)


class Agent:
    """``pirack-agent`` as a person starts it, with a harmless reboot and update.

    Its shutdown ends the agent, as a machine that goes down does.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.rebooted = directory / "rebooted"
        self.state = directory / "state"
        self.log = directory / "agent.log"
        commands = directory / "commands.ini"
        commands.write_text(
            "[test]\nshell = yes\n"
            f"reboot = echo again >> {self.rebooted}\n"
            f"update = echo again >> {self.rebooted}\n"
            f"shutdown = echo again >> {self.rebooted}; kill $PPID; sleep 60\n"
            "where = pwd\nsecret = env\n"
        )
        self._command = [
            *(sys.executable, "-m", "node_agent.cli"),
            *("--id", ID, "--port", str(port), "--interval", str(INTERVAL_S)),
            *("--commands", str(commands), "--state-dir", str(self.state)),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, by_systemd: bool = False) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        say_so = 'SYSTEMD_EXEC_PID=$$ exec "$@"'
        started_by = ["sh", "-c", say_so, "systemd"] if by_systemd else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*started_by, *self._command],
                stderr=log,
                env=environment,
                cwd=self.log.parent,
            )
        return self.process

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def reboots(self) -> int:
        return len(self.rebooted.read_text().split()) if self.rebooted.exists() else 0
