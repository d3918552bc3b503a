"""``kill -9`` of a real master at random moments of power commands.

Outlets are commands that talk to a slow device and plugs on MQTT that delay, lose what
they are told or what they say, restart after a cut and go away midway. Boards answer
ping for themselves: what a cut finds running was cut without evidence.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from broker.client.endpoint import Endpoint
from broker.client.link import Message, Subscription
from broker.client.mqtt_link import connector
from broker.contract.messages import Command, Order, Reply, decode, encode
from broker.contract.topics import NodeLeaf, Scope
from tests.master_service.power_parts import Life, Pi, T
from tests.ports import free_port
from tests.system.power.plugs import SimulatedPlug, Tasmota

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.system, pytest.mark.mosquitto]

STACKS = range(1, 7)
ON_COMMANDS = range(1, 4)
"""Stacks switched by commands; the others by plugs."""
TIMEOUT_S = 2.0
QUIET_S = 60.0
"""For a rack whose plugs all answer to be as it should be."""


class Sweep:
    """A rack of boards and outlets, and the masters that are killed on it.

    Args:
        folder: For the configuration and the database.
        port: Of the broker.
        seed: Of everything that is random.
    """

    def __init__(self, folder: Path, port: int, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret
        self.folder, self.port = folder, port
        self.torn: list[str] = []
        self.prober = SimpleNamespace(alive=set())
        self.link = connector(Endpoint(port=port))(
            self,
            client_id=f"boards-{time.monotonic_ns()}",
            subscriptions=[
                Subscription(T.node("+", NodeLeaf.ORDER), qos=1),
                Subscription(T.master_status, qos=1),
                *(Subscription(one, qos=1) for one in T.reply_filters()),
            ],
        )
        self.broker: Any = self.link
        self.pis = {f"pi-{n:02}1": Pi(self, n, 1) for n in STACKS}
        self.levels = {f"stack-{n}": True for n in STACKS}
        self.moved_off = dict.fromkeys(self.levels, 0)
        self.plugs: dict[str, Plug] = {}
        self.calm = False
        self.online = False
        self.cuts = self.kills = 0
        self.lies: list[str] = []
        self.last: dict[int, tuple[str, str]] = {}
        """Per stack the last accepted command: its id and what it asks."""
        self.open: dict[str, tuple[int, str, int]] = {}
        self.finals: dict[str, Reply] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[asyncio.DatagramTransport] = []
        self._server: asyncio.Server | None = None

    @property
    def now(self) -> float:
        return time.monotonic()

    # --- what is switched -------------------------------------------------------------

    def supply(self, outlet: str, *, on: bool) -> None:
        """Moves a relay and lets its board follow."""
        if self.levels[outlet] and not on:
            self.cuts += 1
            self.moved_off[outlet] += 1
        if self.levels[outlet] is not on:
            self.levels[outlet] = on
            for pi in self.pis.values():
                if pi.outlet == outlet:
                    pi.supply(on=on)

    async def device(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers one command as a device that takes its time."""
        words = (await reader.readline()).decode().split()
        if len(words) == 2:  # what, and which outlet
            what, outlet = words
            if what == "status":
                answer = "is on" if self.levels[outlet] else "is off"
            else:
                await asyncio.sleep(self.chance.uniform(0, 1.0))
                gone = reader.at_eof() and self.chance.random() < 0.5  # it saw that
                if not gone:
                    self.supply(outlet, on=what == "on")
                answer = "done"
            writer.write(f"{answer}\n".encode())
        writer.close()

    # --- what is said -----------------------------------------------------------------

    def on_connected(self, session: str) -> None:
        pass

    def on_disconnected(self, reason: str) -> None:
        pass

    def on_message(self, message: Message) -> None:
        if message.topic == T.master_status:
            self.online = message.payload == b"online"
            return
        if not message.payload or message.retain:
            return
        if message.topic.endswith("/order"):
            pi = self.pis.get(message.topic.split("/")[-2])
            if pi is not None:
                pi.ordered(decode(message.payload, Order))
        else:
            self.replied(decode(message.payload, Reply))

    def replied(self, reply: Reply) -> None:
        begun = self.open.get(reply.id)
        if begun is None:
            return
        stack, action, moved_off = begun
        if not reply.phase.final:
            self.last[stack] = reply.id, action
            return
        first = reply.id not in self.finals
        self.finals[reply.id] = reply
        if first and self.last.get(stack, ("", ""))[0] == reply.id:
            self.check(reply, stack, action, moved_off)

    def check(self, reply: Reply, stack: int, action: str, moved_off: int) -> None:
        """Holds a last reply against what the relay and the board really do."""
        outlet = f"stack-{stack}"
        pi, on = self.pis[f"pi-{stack:02}1"], self.levels[outlet]
        if reply.ok and on is (action == "off"):
            self.lies.append(f"{action}: done, and the relay is on={on}")
        if reply.ok and action != "off" and pi.life is not Life.RUNNING:
            self.lies.append(f"{action}: done, and the board is {pi.life}")
        cut = self.moved_off[outlet] > moved_off
        if "was not switched" in reply.error and cut and action != "on":
            self.lies.append(f"{action}: {reply.error}; and it was switched")

    def ask(self, stack: int, action: str) -> str:
        command = f"k{len(self.open)}-{stack}"
        self.open[command] = stack, action, self.moved_off[f"stack-{stack}"]
        scope = f"stack/{stack}"
        said = Command(id=command, args=(action,), confirm=scope, by="sweep")
        topic = T.command(Scope.parse(scope), "power")
        self.link.publish(topic, encode(said), qos=1)
        return command

    # --- its life ---------------------------------------------------------------------

    async def start(self) -> None:
        echo = free_port()
        loop = asyncio.get_running_loop()
        for pi in self.pis.values():
            transport, _ = await loop.create_datagram_endpoint(
                lambda pi=pi: Echo(pi),  # type: ignore[misc]  # pi is bound now
                local_addr=(pi.address, echo),
            )
            self._sockets.append(transport)
        device = free_port()
        self._server = await asyncio.start_server(self.device, "127.0.0.1", device)
        self.configure(echo, device)
        await self.link.start()
        assert await self.link.wait_connected(30)
        for n in set(STACKS) - set(ON_COMMANDS):
            plug = Plug(self, f"stack-{n}")
            self.plugs[plug.outlet] = plug
            await plug.link.start()
        for pi in self.pis.values():
            pi.come()
        self._tasks.append(loop.create_task(self.live()))
        self.run_master()
        await self.until_online()
        await asyncio.sleep(3)

    def configure(self, echo: int, device: int) -> None:
        (self.folder / "ask").write_text(
            f"exec 3<>/dev/tcp/127.0.0.1/{device}\n"
            'echo "$1 $2" >&3\nread -r answer <&3 && echo "$answer"\n'
        )
        ask = f"bash {self.folder}/ask"
        rows = [
            f'[[node]]\nid = "pi-{n:02}1"\nname = "s{n:02}n1"\nstack = {n}\nslot = 1\n'
            for n in STACKS
        ]
        for n in STACKS:
            rows.append(f'[[outlet]]\nname = "stack-{n}"\nstack = {n}\n')
            if n in ON_COMMANDS:
                rows.append(
                    f'driver = "command"\n[outlet.commands]\n'
                    f'on = "{ask} on stack-{n}"\noff = "{ask} off stack-{n}"\n'
                    f'status = "{ask} status stack-{n}"\nstatus_on = "is on"\n'
                    f'status_off = "is off"\ntimeout_s = {TIMEOUT_S}\n'
                )
            else:
                rows.append(
                    f'driver = "mqtt"\nplug = {{ preset = "tasmota", '
                    f'device = "stack-{n}", channel = 2, timeout_s = {TIMEOUT_S} }}\n'
                )
        (self.folder / "pirack.toml").write_text(
            f'[rack]\nname = "{T.rack}"\nstacks = {len(STACKS)}\nboards = 1\n'
            f"[broker]\nport = {self.port}\nkeepalive_s = 5\n"
            f'[master]\ndata_dir = "{self.folder}/master"\nprobe = "echo:{echo}"\n'
            "grace_s = 1\nboot_s = 3\nstop_s = 5\n"
            "[power]\nsettle_s = 0.2\nmin_off_s = 0.3\nstagger_s = 0\nat_once = 6\n"
            f"look_s = 6\nplug_broker = {{ port = {self.port} }}\n" + "".join(rows)
        )

    async def live(self) -> None:
        """Lets boards beat, obey and boot."""
        while True:
            await asyncio.sleep(0.2)
            for pi in self.pis.values():
                pi.tick(self.now)

    def run_master(self) -> None:
        with (self.folder / "master.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "pirack.cli", "master",
                    "--config", self.folder / "pirack.toml",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.online = False
        self.kills += 1

    async def round(self) -> None:
        """Asks, kills at a random moment, and starts the next master."""
        for stack in self.chance.sample(list(STACKS), self.chance.randint(1, 4)):
            on = self.levels[f"stack-{stack}"]
            actions = ("cycle", "cycle", "off") if on else ("on", "on", "cycle")
            self.ask(stack, self.chance.choice(actions))
        await asyncio.sleep(self.chance.uniform(0.05, 4.0))
        self.kill()
        self.run_master()
        while self.chance.random() < 0.55:  # killed again in its start
            await asyncio.sleep(self.chance.uniform(0.3, 2.0))
            self.kill()
            self.run_master()
        await self.until_online()
        await asyncio.sleep(self.chance.uniform(0.1, 2.0))

    async def until_online(self) -> None:
        end = time.monotonic() + 30
        while not self.online:
            assert time.monotonic() < end, "the master does not come"
            await asyncio.sleep(0.05)

    async def settled(self) -> list[str]:
        """Lets all plugs answer; returns which stacks are dark all the same."""
        self.calm = True
        end = time.monotonic() + QUIET_S
        while (dark := self.dark()) or self.silent():
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.2)
        self.calm = False
        return dark

    def dark(self) -> list[str]:
        last = ((stack, *one) for stack, one in self.last.items())
        return [
            f"stack {stack} after {action} ({command})"
            for stack, command, action in last
            if action != "off" and not self.levels[f"stack-{stack}"]
        ]

    def silent(self) -> list[str]:
        """Returns the commands that were accepted last and have no last word."""
        return [c for c, _ in self.last.values() if c not in self.finals]

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for plug in self.plugs.values():
            await plug.link.stop()
        await self.link.stop()
        for transport in self._sockets:
            transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class Echo(asyncio.DatagramProtocol):
    """Answers pings for a board while it runs."""

    def __init__(self, pi: Pi) -> None:
        self._pi = pi
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # asyncio's
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401  # asyncio's
        if self._pi.life is Life.RUNNING:
            self._transport.sendto(data, addr)


class Plug(SimulatedPlug):
    """A plug that is slow, loses messages, restarts after a cut and goes away."""

    def __init__(self, sweep: Sweep, outlet: str) -> None:
        super().__init__(
            Tasmota(outlet), connector(Endpoint(port=sweep.port)), f"plug-{outlet}"
        )
        self.outlet = outlet
        self._sweep = sweep
        self._until = 0.0
        self._free_at = 0.0
        self._restarting: asyncio.Task[None] | None = None

    def on_message(self, message: Message) -> None:
        chance, now = self._sweep.chance, time.monotonic()
        if not self._sweep.calm:
            if now < self._until or chance.random() < 0.04:  # 4 % are lost
                return
            if chance.random() < 0.03:  # sometimes it goes away
                self._until = now + chance.uniform(1, 5)
                return
        delay = 0.0 if self._sweep.calm else chance.choice((0.0, 0.1, 0.4, 1.0))
        self._free_at = max(self._free_at, now) + delay  # one after another
        loop = asyncio.get_running_loop()
        loop.call_later(self._free_at - now, self.act, message)

    def act(self, message: Message) -> None:
        chance = self._sweep.chance
        before = self.on
        told = self.make.told(message.topic, message.payload.decode())
        if told is not None:
            self.on = told
            self._sweep.supply(self.outlet, on=told)
        cut = before and not self.on
        if cut and not self._sweep.calm and chance.random() < 0.2:  # it restarts
            self._restarting = asyncio.create_task(self.restart(chance.uniform(0.5, 3)))
        elif self.link.connected and (self._sweep.calm or chance.random() >= 0.04):
            self.say()

    async def restart(self, seconds: float) -> None:
        """Loses its connection, and is back with its relay as it was."""
        self.link.abort()
        await asyncio.sleep(seconds)
        await self.link.start()

    def announce(self, *, there: bool) -> None:
        """Leaves it to the will."""

    def on_connected(self, session: str) -> None:
        """Says nothing by itself."""


async def swept(folder: Path, port: int, kills: int, seed: int) -> Sweep:
    """Runs a sweep and holds all that must be true."""
    sweep = Sweep(folder, port, seed)
    dark: list[str] = []
    began = time.monotonic()
    try:
        await sweep.start()
        while sweep.kills < kills:
            for _ in range(min(25, kills - sweep.kills)):
                await sweep.round()
            dark += await sweep.settled()
    finally:
        await sweep.stop()
    words: dict[str, int] = {}
    for reply in sweep.finals.values():
        words[reply.phase.value] = words.get(reply.phase.value, 0) + 1
    took_s = time.monotonic() - began
    print(  # noqa: T201  # figures for the reader of the log
        f"{sweep.kills} kills in {took_s:.0f} s, {sweep.cuts} cuts, "
        f"{len(sweep.open)} commands, last words {words}; cut while up "
        f"{len(sweep.torn)}, dark {len(dark)}, untrue {len(sweep.lies)}, "
        f"without a last word {len(sweep.silent())}, seed {seed}; {dark} {sweep.lies}"
    )
    assert sweep.torn == [], sweep.torn
    assert dark == [], dark
    assert sweep.lies == [], sweep.lies
    assert sweep.silent() == []
    return sweep


@pytest.mark.timeout(150)
async def test_a_dozen_kills_cut_no_running_board_and_leave_no_stack_dark(
    tmp_path: Path, mosquitto_port: int
) -> None:
    sweep = await swept(tmp_path, mosquitto_port, kills=12, seed=8)
    assert sweep.cuts > 0


@pytest.mark.long
@pytest.mark.timeout(2400)
async def test_three_hundred_kills_cut_no_running_board_and_leave_no_stack_dark(
    tmp_path: Path, mosquitto_port: int
) -> None:
    kills = int(os.environ.get("PIRACK_KILLS", "300"))
    seed = int(os.environ.get("PIRACK_SEED", "1"))
    sweep = await swept(tmp_path, mosquitto_port, kills, seed)
    assert (
        sweep.cuts > kills / 6
    )  # a master that just started refuses much, and cuts nothing
