"""A real dashboard on a real Mosquitto; an actor speaks for rack and master."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from broker.messages import (
    Ability,
    Command,
    Details,
    Event,
    EventKind,
    Heartbeat,
    NodeState,
    Phase,
    Power,
    RackState,
    Reply,
    StackState,
    TargetRow,
    Verdict,
    Wire,
    decode,
    encode,
)
from broker.topics import CommandTopic, Topics
from dashboard.users import Role, Users, make_user

PASSWORD = "correct horse"
DEADLINE_S = 20.0
PIRACK = "import sys; from pirack.cli import main; sys.exit(main())"
ABILITIES = (
    Ability(verb="identify"),
    Ability(verb="temperature"),
    Ability(verb="say", placeholders=("text",), note="Write on the display"),
    Ability(verb="reboot"),
    Ability(verb="shutdown"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.05)


def node_id(stack: int, slot: int) -> str:
    return f"pi-51{stack:04x}{slot:02x}"


def mac(stack: int, slot: int) -> str:
    return f"dc:a6:32:5e:{stack:02x}:{slot:02x}"


class Actor:
    """Publishes what a rack and its master would, and answers commands."""

    def __init__(self, port: int, stacks: int, boards: int) -> None:
        self.topics = Topics("lab")
        self.commands: list[tuple[str, Command]] = []
        self.answering = True
        self.stacks = stacks
        self.nodes = {
            node_id(stack, slot): (f"s{stack:02d}n{slot}", stack, slot)
            for stack in range(1, stacks + 1)
            for slot in range(1, boards + 1)
        }
        self._boards = boards
        self._measured: dict[str, dict[str, object]] = {}
        self._seq = 0
        self._stop = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._beating = threading.Thread(target=self._beats, daemon=True)
        self._beating.start()

    def stop(self) -> None:
        self._stop.set()
        self._beating.join()
        self._client.disconnect()
        self._client.loop_stop()

    def say(
        self, topic: str, payload: Wire | str | bytes, *, retain: bool = True
    ) -> None:
        raw = encode(payload) if isinstance(payload, Wire) else payload
        self._client.publish(topic, raw, qos=1, retain=retain)

    def state(self, node: str, **values: object) -> None:
        name, stack, slot = self.nodes[node]
        base: dict[str, Any] = {
            "id": node,
            "name": name,
            "verdict": Verdict.ONLINE,
            "since": time.time() - 60,
            "stack": stack,
            "slot": slot,
        }
        base.update(values)
        self.say(f"{self.topics.prefix}/node/{node}/state", NodeState(**base))

    def beat(self, node: str, **values: object) -> None:
        """Publish a heartbeat; the periodic ones go on with the values given here."""
        if values:
            self._measured[node] = values
        self._seq += 1
        base: dict[str, Any] = {
            "session": "s",
            "seq": self._seq,
            "ts": time.time(),
            "uptime_s": 60,
            "cpu_percent": 20,
            "load": (0.1, 0.1, 0.1),
            "memory_percent": 40,
            "disk_percent": 30,
            "temperature_c": 45,
        }
        base.update(self._measured.get(node, {}))
        topic = f"{self.topics.prefix}/node/{node}/heartbeat"
        self._client.publish(topic, encode(Heartbeat(**base)))

    def event(self, text: str) -> None:
        self._seq += 1
        event = Event(seq=self._seq, ts=time.time(), kind=EventKind.FAULT, text=text)
        self.say(self.topics.event, event, retain=False)

    def introduce(self) -> None:
        self.say(self.topics.master_status, "online")
        for stack in range(1, self.stacks + 1):
            state = StackState(
                stack=stack,
                name=f"Stack {stack:02d}",
                x=(stack - 1) % 4,
                y=(stack - 1) // 4,
                slots=self._boards,
                wanted=Power.ON,
                power=Power.ON,
            )
            self.say(self.topics.stack(stack), state)
        for node, (name, stack, slot) in self.nodes.items():
            self.state(node)
            self.say(f"{self.topics.prefix}/node/{node}/status", "online")
            details = Details(
                session="s",
                boot_id="b",
                hostname=name,
                interval_s=1,
                agent_version="0.1.0",
                serial=f"10000000{node[3:]}",
                macs=(mac(stack, slot),),
                abilities=ABILITIES,
            )
            self.say(f"{self.topics.prefix}/node/{node}/details", details)
        self.say(self.topics.rack_state, RackState(rack="lab"))

    def _on_connect(self, *_: object) -> None:
        for text in self.topics.command_filters():
            self._client.subscribe(text, 1)
        self.introduce()

    def _beats(self) -> None:
        while not self._stop.wait(1.0):
            for node in self.nodes:
                self.beat(node)

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        address = self.topics.parse(message.topic)
        assert isinstance(address, CommandTopic)
        plain = not message.payload.startswith(b"{")
        command = (
            Command(id="by-hand") if plain else decode(bytes(message.payload), Command)
        )
        self.commands.append((message.topic, command))
        if not self.answering:
            return
        scope = str(address.scope)
        hit = {
            node: row
            for node, row in self.nodes.items()
            if scope in {"rack", f"node/{node}", f"node/{row[0]}", f"stack/{row[1]}"}
        }
        rows = tuple(
            TargetRow(node=node, name=row[0], phase=Phase.DONE, duration_s=0.01)
            for node, row in list(hit.items())[:50]
        )
        reply: dict[str, Any] = {"id": command.id, "verb": address.verb, "scope": scope}
        topic = self.topics.reply(address.scope, address.verb)
        accepted = Reply(phase=Phase.ACCEPTED, **reply)
        done = Reply(phase=Phase.DONE, ok=True, targets=rows, duration_s=0.1, **reply)
        self.say(topic, accepted, retain=False)
        self.say(topic, done, retain=False)


class Stage:
    """Mosquitto and the dashboard as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mqtt_port = free_port()
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self._stack = contextlib.ExitStack()
        self._broker: subprocess.Popen[bytes] | None = None
        users = Users(folder / "data" / "users.json")
        for role in Role:
            users.put(make_user(role.value, role, PASSWORD))

    def start_broker(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\n"
            "max_queued_messages 0\nlog_type error\n"
        )
        self._broker = subprocess.Popen([program, "-c", str(config)])
        self._stack.callback(self.kill_broker)
        wait_until(self._broker_answers, "Mosquitto")

    def kill_broker(self) -> None:
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()
            self._broker = None

    def start_dashboard(self) -> "subprocess.Popen[bytes]":
        config = self.folder / "pirack.toml"
        config.write_text(
            f'[rack]\nname = "lab"\n[broker]\nport = {self.mqtt_port}\n'
            f"[dashboard]\nhttp_port = {self.http_port}\n"
            f'data = "{self.folder / "data"}"\n'
        )
        command = [sys.executable, "-c", PIRACK, "dashboard", "--config", str(config)]
        log = self._stack.enter_context((self.folder / "dashboard.log").open("wb"))
        process = subprocess.Popen(command, stderr=log, stdout=log, env=_environment())
        self._stack.callback(_end, process)
        wait_until(self._page_answers, "the dashboard")
        return process

    def close(self) -> None:
        self._stack.close()

    def _broker_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.mqtt_port)) == 0

    def _page_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:  # noqa: S310  # our own server
                return bool(answer.status == 200)
        except OSError:
            return False


def _environment() -> dict[str, str]:
    """Ours without pytest's: NiceGUI would take its process for a test of its own."""
    return {key: value for key, value in os.environ.items() if "PYTEST" not in key}


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
