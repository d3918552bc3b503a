"""A simulated rack of two stacks of two, whose master can install it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec

from broker.contract.messages import (
    Event,
    InstallStack,
    InstallState,
    InstallStep,
    Power,
    Reply,
    decode,
)
from provisioning.run.state import InstallRun, RunPace
from provisioning.settings import BackendName, InstallSettings
from tests.master_service.rehearsed import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Site(Stage):
    """A simulated rack of two stacks of two, and what is published of an install.

    Args:
        folder: What the master keeps.
        options: Of ``Stage``.
    """

    serial = 0

    def __init__(self, folder: Path, **options: Any) -> None:  # noqa: ANN401  # of Stage
        super().__init__(folder, 2, 2, **options)
        master = msgspec.structs.replace(self.settings.master, stop_s=20)
        self.settings = msgspec.structs.replace(self.settings, master=master)
        self.make()

    async def install(self, words: str, where: str = "rack", **said: Any) -> Reply:  # noqa: ANN401  # fields of Command
        """Give an install command; it is not confirmed unless that is said."""
        self.serial += 1
        said = {"id": f"i{self.serial}", "confirm": "", "by": "ann", **said}
        reply = await self.ask(f"{where} install", args=tuple(words.split()), **said)
        begun = re.match("run (.*) began", reply.targets[0].stdout if reply.ok else "")
        if begun:
            await self.until(lambda: self.state.run == begun[1])
        return reply

    async def until(self, when: Callable[[], object], limit_s: float = 1800.0) -> None:
        """Let simulated time pass until something is so."""
        end = self.rehearsal.clock_s + limit_s
        while not when():
            assert self.rehearsal.clock_s < end, (self.state, self.events[-5:])
            await self.pass_time(0.5)
            await asyncio.sleep(0.005)  # the installer's own waits are in real time

    async def at(self, *steps: InstallStep) -> None:
        await self.until(lambda: self.state.step in steps)

    async def whole(self, *words: str) -> None:
        """Install the rack and wait for the end."""
        await self.install(" ".join(("start", *words)), confirm="rack")
        await self.at(InstallStep.DONE, InstallStep.PROBLEMS, InstallStep.FAILED)

    def _stored(self, topic: str) -> bytes:
        return self.rehearsal.broker.retained[topic].payload

    @property
    def state(self) -> InstallState:
        topic = self.rehearsal.topics.install_state
        return decode(self._stored(topic), InstallState)

    @property
    def run(self) -> InstallRun | None:
        """The run as it is; what is published of it comes later."""
        return self.master._installs.last  # noqa: SLF001  # it is seen nowhere else

    def stack(self, number: int) -> InstallStack:
        topic = self.rehearsal.topics.install_stack(number)
        return decode(self._stored(topic), InstallStack)

    @property
    def events(self) -> list[Event]:
        sent = self.rehearsal.broker.sent(self.rehearsal.topics.event)
        return [decode(message.payload, Event) for message in sent]

    def fault(self, fault: str, target: str) -> None:
        """Let the simulator do something to boards."""
        topic = f"{self.rehearsal.topics.prefix}/sim/cmd/{fault}"
        self.rehearsal.broker.publish(topic, target.encode(), qos=1)

    async def level(self, stack: int) -> Power:
        return await self.outlets.read(f"stack-{stack}")

    @property
    def switchings(self) -> list[tuple[str, bool]]:
        return [(one.outlet, one.on) for one in self.outlets.relays().switchings]

    def node(self, name: str) -> Any:  # noqa: ANN401  # the master's own record
        node = self.master.rack.registry.find(name)
        assert node is not None, name
        return node


class Quick(InstallSettings, frozen=True):
    """Waits in real time, beside the simulated rack's, that are as short as can be."""

    def pace(self) -> RunPace:
        return RunPace(
            quiet_s=0.01,
            window_s=20.0,
            settle_s=0.001,
            baseline_s=0.01,
            probe_s=0.001,
            retry_s=0.02,
            stagger_s=0.001,
            verify_s=20.0,
        )


def quick(folder: Path) -> InstallSettings:
    return Quick(
        backend=BackendName.FAKE,
        interface="simulated",
        data_dir=str(folder / "install"),
    )
