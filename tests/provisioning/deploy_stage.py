"""A deployment without a network: boards and agents that do as they are told."""

import asyncio
import base64
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import msgspec

from broker.common.errors import LinkError
from provisioning.deploy import remote
from provisioning.deploy.deployer import DeployContext, Deployer, DeployPace, Package
from provisioning.deploy.remote import Output, Snapshot
from provisioning.deploy.report import LAST, DeployError, DeployStep, Report, Target
from provisioning.deploy.wheels import WheelStore, WheelSupply

GOOD = "python\t3 11\nvenv\tyes\nroot\t\nfree_kb\t900000\n"
INSTALLED = Output(code=0, stdout="install: changed: all\n")
HAD_IT = Output(code=0, stdout=f"{remote.UNCHANGED}\n")


UNITS = Path(__file__).parents[2] / "deploy"
KIND = "cpython-313-arm-linux-gnueabihf-armv7l-glibc2.41"
NEEDS_WHEELS = f"bits\t32\nkind\t{KIND}\n"
BUILDS = Output(code=0, stdout="piwheels\t\ngcc\t\napt\tyes\n")


def wheel_names() -> list[str]:
    """Of the wheels that the lock file wants of a board of that kind."""
    lines = (UNITS / "node.lock").read_text().splitlines()
    pins = [line.split(" ")[0] for line in lines if line[:1].isalpha()]
    stems = [pin.replace("-", "_").replace("==", "-") for pin in pins]
    return [f"{stem}-cp313-cp313-linux_armv7l.whl" for stem in stems]


def handed_over(names: Iterable[str] = ()) -> Output:
    """What a board prints that made wheels, all unless some are named."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names or wheel_names():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return Output(code=0, stdout=base64.encodebytes(content.getvalue()).decode())


def mac(host: str) -> str:
    return f"dc:a6:32:00:00:{int(host):02x}"


def answers(host: str) -> str:
    return f"{GOOD}/sys/class/net/eth0/address\t{mac(host)}\n"


class Board:
    """What a board does when it is visited.

    Args:
        host: Its address, a number.
        doors: What each attempt to connect meets; None lets in, and so does the end.
        asks: What it says of itself.
        installs: What each installation ends with; the last one for all after it.
        speaks: Whether its agent is heard afterwards.
        ways: What it says of how it can get wheels.
        makes: What each making of wheels ends with; the last one for all after it.
    """

    def __init__(
        self,
        host: str,
        *,
        doors: tuple[DeployError | None, ...] = (),
        asks: str = "",
        installs: tuple[Output, ...] = (INSTALLED,),
        speaks: bool = True,
        ways: Output = BUILDS,
        makes: tuple[Output | DeployError, ...] = (),
    ) -> None:
        self.doors = list(doors)
        self.asks = asks or answers(host)
        self.installs = list(installs)
        self.speaks = speaks
        self.ways = ways
        self.makes = list(makes or (handed_over(),))
        self.may_make = asyncio.Event()
        self.may_make.set()
        self.fed: list[bytes] = []
        self.ran: list[str] = []
        self.hangs = False

    async def run(self, command: str, feed: bytes = b"") -> Output:
        self.ran.append(command)
        if self.hangs:
            await asyncio.Event().wait()
        if command == remote.ASK:
            return Output(code=0, stdout=self.asks)
        if command == remote.wheels("ask"):
            return self.ways
        if command.endswith((" piwheels\n", "wheels source\n")):
            await self.may_make.wait()
            made = self.makes[0] if len(self.makes) == 1 else self.makes.pop(0)
            if isinstance(made, DeployError):
                raise made
            return made
        if command == remote.INSTALL:
            self.fed.append(feed)
            await asyncio.sleep(0)
            last = len(self.installs) == 1
            return self.installs[0] if last else self.installs.pop(0)
        return Output(code=0, stdout="line one\nthe broker refused pi-1\n")


class Stage:
    """Everything a deployer is given, and what it was seen to do."""

    def __init__(self) -> None:
        self.boards: dict[str, Board] = {}
        self.packed: list[str] = []
        self.refuses: list[LinkError] = []
        self.inside = self.most_inside = 0
        self.reports: list[Report] = []
        self.deaf = ""
        self.wheels: WheelStore | None = None
        self._news = asyncio.Event()
        self.waited_for: list[tuple[str, str]] = []

    def board(self, host: str, **does: object) -> Board:
        made = Board(host, **does)  # type: ignore[arg-type]  # named by each test
        self.boards[host] = made
        return made

    @contextlib.asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[Board]:
        board = self.boards[target.host]
        refusal = board.doors.pop(0) if board.doors else None
        if refusal is not None:
            raise refusal
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            yield board
        finally:
            self.inside -= 1

    def node(self, seen: Snapshot) -> str:
        return f"pi-{min(seen.macs)[-2:]}"

    async def pack(self, seen: Snapshot) -> Package:
        if self.refuses:
            raise self.refuses.pop(0)
        self.packed.append(self.node(seen))
        return Package(node=self.node(seen), archive=b"password of this board")

    def session(self, node: str) -> str:
        return f"old session of {node}"

    async def newborn(self, node: str, *, after: str) -> str:
        self.waited_for.append((node, after))
        return await self._heard(node)

    async def alive(self, node: str) -> str:
        return await self._heard(node)

    async def _heard(self, node: str) -> str:
        boards = {f"pi-{mac(host)[-2:]}": one for host, one in self.boards.items()}
        if not boards[node].speaks:
            await asyncio.Event().wait()
        return "1.2.3"

    async def deploy(
        self,
        *targets: Target,
        pace: DeployPace | None = None,
        dry: bool = False,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> tuple[Report, ...]:
        """Deploy to targets, or to every board."""
        means = DeployContext(
            connect=self.connect,
            packer=self,
            agents=self,
            wheels=WheelSupply(self.wheels) if self.wheels else None,
            pace=pace or DeployPace(pause_s=0.0, birth_s=0.05),
            dry=dry,
            chance=lambda: 0.5,
            clock=clock,
        )
        chosen = targets or tuple(Target(host=host) for host in self.boards)
        return await Deployer(means).deploy(chosen, self._take)

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        self._news.set()

    async def until(self, step: DeployStep, *hosts: str) -> None:
        """Wait until boards have come to a step."""
        async with asyncio.timeout(20):
            while not all(step in self.steps(host) for host in hosts):
                self._news.clear()
                await self._news.wait()

    def steps(self, host: str = "1") -> list[DeployStep]:
        return [one.step for one in self.reports if one.target.host == host]

    def texts(self, step: DeployStep, host: str = "1") -> list[str]:
        """What was said of a step of a board."""
        found = [one for one in self.reports if one.target.host == host]
        return [one.text for one in found if one.step is step and one.text]


def alone(reports: tuple[Report, ...]) -> Report:
    (report,) = reports
    assert report.step in LAST
    return msgspec.structs.replace(report, took_s=0.0)
