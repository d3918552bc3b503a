"""An actor who speaks for rack and master, and answers commands."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from broker.contract.messages import (
    Ability,
    Command,
    Details,
    Event,
    EventKind,
    Heartbeat,
    NodeState,
    Payload,
    Phase,
    Power,
    RackState,
    Reply,
    StackState,
    TargetRow,
    Verdict,
    decode,
    encode,
)
from broker.contract.topics import CommandTopic, Scope, Topics
from broker.contract.verbs import Verb

ABILITIES = (
    Ability(verb="identify"),
    Ability(verb="temperature"),
    Ability(verb="say", placeholders=("text",), note="Write on the display"),
    Ability(verb="reboot"),
    Ability(verb="shutdown"),
)


Answer = Callable[[str, str, Command], Iterable[dict[str, Any]]]
"""What a master replies to scope, verb and command: the fields of each Reply."""


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
        self.answer: Answer | None = None
        self.stacks = stacks
        self.nodes = {
            node_id(stack, slot): (f"s{stack:02d}n{slot}", stack, slot)
            for stack in range(1, stacks + 1)
            for slot in range(1, boards + 1)
        }
        self._boards = boards
        self._measured: dict[str, dict[str, object]] = {}
        self._told: set[str] = set()
        self._seq = 1_000_000
        self._saying = threading.Lock()
        self._stop = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._introduced = threading.Event()
        self._client.loop_start()
        assert self._introduced.wait(20), "the broker has not taken the rack"
        self._beating = threading.Thread(target=self._beats, daemon=True)
        self._beating.start()

    def stop(self) -> None:
        self._stop.set()
        self._beating.join()
        self._client.disconnect()
        self._client.loop_stop()

    def say(
        self, topic: str, payload: Payload | str | bytes, *, retain: bool = True
    ) -> None:
        raw = encode(payload) if isinstance(payload, Payload) else payload
        self._client.publish(topic, raw, qos=1, retain=retain)

    def state(self, node: str, **values: object) -> None:
        """Publish the master's view of a node; what is not given is as usual."""
        name, stack, slot = self.nodes[node]
        base: dict[str, Any] = {
            "id": node,
            "name": name,
            "verdict": Verdict.ONLINE,
            "since": time.time() - 60,
            "stack": stack,
            "slot": slot,
            "outlet": f"stack-{stack}",
            "power": Power.ON,
        }
        base.update(values)
        if values:
            self._told.add(node)
        self.say(f"{self.topics.prefix}/node/{node}/state", NodeState(**base))

    def beat(self, node: str, **values: object) -> None:
        """Publish a heartbeat; the periodic ones go on with the values given here."""
        topic = f"{self.topics.prefix}/node/{node}/heartbeat"
        with self._saying:  # no periodic one with older values may come after this
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
            self._client.publish(topic, encode(Heartbeat(**base)))

    def event(self, text: str, **values: object) -> None:
        """Publish a line of history as it happens."""
        with self._saying:
            self._seq += 1
            base: dict[str, Any] = {"kind": EventKind.FAULT} | values
            event = Event(seq=self._seq, ts=time.time(), text=text, **base)
            self.say(self.topics.event, event, retain=False)

    def stack(self, stack: int, **values: object) -> None:
        """Publish the master's view of a stack; what is not given is as usual."""
        base: dict[str, Any] = {
            "stack": stack,
            "name": f"Stack {stack:02d}",
            "x": (stack - 1) % 4,
            "y": (stack - 1) // 4,
            "slots": self._boards,
            "wanted": Power.ON,
            "power": Power.ON,
        }
        base.update(values)
        self.say(self.topics.stack(stack), StackState(**base))

    def reply(self, scope: str, verb: str, **values: object) -> None:
        """Answer a command, as the master would."""
        topic = self.topics.reply(Scope.parse(scope), verb)
        base: dict[str, Any] = {"verb": verb, "scope": scope}
        self.say(topic, Reply(**(base | values)), retain=False)

    def restore(self) -> None:
        """Let the rack be as usual again, whatever a test said of it."""
        self.answering, self.answer = True, None
        self.commands.clear()
        with self._saying:
            self._measured.clear()
        for stack in range(1, self.stacks + 1):
            self.stack(stack)
        while self._told:
            node = self._told.pop()
            self.state(node)
            self.beat(node)
        self.settle()

    def settle(self) -> None:
        """Wait until the broker has taken everything that was said so far."""
        last = self._client.publish("actor/settled", qos=1)
        last.wait_for_publish(20)

    def introduce(self) -> None:
        self.say(self.topics.master_status, "online")
        for stack in range(1, self.stacks + 1):
            self.stack(stack)
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
        self._introduced.set()

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
        if address.verb != Verb.EVENTS:  # pages ask for the past by themselves
            self.commands.append((message.topic, command))
        if not self.answering:
            return
        scope = str(address.scope)
        answer = self.answer or self._obey
        for values in answer(scope, address.verb, command):
            self.reply(scope, address.verb, **({"id": command.id} | values))

    def _obey(self, scope: str, _: str, __: Command) -> Iterable[dict[str, Any]]:
        rows = tuple(
            TargetRow(node=node, name=row[0], phase=Phase.DONE, duration_s=0.01)
            for node, row in self.nodes.items()
            if scope in {"rack", f"node/{node}", f"node/{row[0]}", f"stack/{row[1]}"}
        )
        yield {"phase": Phase.ACCEPTED}
        done = {"phase": Phase.DONE, "ok": True, "duration_s": 0.1}
        yield done | {"targets": rows[:50]}
