"""Lets a board join as ``pirack node add`` does, and packs what it needs."""

import asyncio
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from broker.common.errors import PiRackError
from broker.contract.messages import NodeState
from broker.mosquitto.credentials import Credentials, generate_client_id
from pirack import broker_users, bundle, distribution
from pirack.bundle import BoardId
from pirack.deployment.board import board_of
from pirack.enrolment import NotLetInError, let_in
from pirack.rack_config import RackAccess
from provisioning.deploy.deployer import Package
from provisioning.deploy.remote import Snapshot
from provisioning.deploy.wheels import WheelStore

WHEELHOUSE = "wheelhouse"


class HousePacker:
    """Packs for the boards of one rack.

    Args:
        house: The rack.
        states: What the master says of the nodes it knows; kept up to date by others.
        wheel: Our package; None for the one that runs here.
        wheelhouse: Wheels of what it needs, for boards without a package index; None
            where they have one.
    """

    def __init__(
        self,
        house: RackAccess,
        states: Mapping[str, NodeState],
        *,
        wheel: Path | None = None,
        wheelhouse: Path | None = None,
    ) -> None:
        self._house = house
        self._states = states
        self._master = True
        self._wheel = wheel
        self._wheelhouse = wheelhouse
        self._own: tuple[str, bytes] | None = None
        self._door = asyncio.Lock()
        self.wheels: WheelStore | None = None
        """Those that boards made; None where a person brings a wheelhouse."""
        if wheelhouse is None:
            self.wheels = WheelStore(
                house.board_wheels, distribution.deploy_directory()
            )
        self.renamed: dict[str, Credentials] = {}
        """By node id: what goes to boards whose client id could be guessed. The broker
        is told when the board has it, so that a failed visit locks no board out."""

    def node(self, snapshot: Snapshot) -> str:
        """Return the id a board will have.

        Raises:
            ConfigError: It has nothing to make one of.
        """
        return board_of(snapshot).node

    async def pack(self, snapshot: Snapshot) -> Package:
        """Make the board's credential known to the broker, and return its package.

        Raises:
            PiRackError: The broker or a file does not allow it.
            OSError: A file cannot be written.
        """
        board = await asyncio.to_thread(board_of, snapshot)
        async with self._door:  # one change of the broker's users at a time
            secret, new = broker_users.node_secret(self._house, board.node, renew=False)
            await broker_users.admit(self._house, secret, renewed=new)
            if not new and not secret.client_id:
                bound = generate_client_id(board.node)
                secret = msgspec.structs.replace(secret, client_id=bound)
                self.renamed[board.node] = secret
            await self._let_in(board.node)
            if self._own is None:
                self._own = await asyncio.to_thread(self._read_wheel)
        kind = self.wheels.lacking(snapshot) if self.wheels else ""
        kinds = (kind,) if kind else ()
        archive = await asyncio.to_thread(
            self._archive, board, secret, self._own, kinds
        )
        return Package(node=board.node, archive=archive)

    async def _let_in(self, node: str) -> None:
        """Has the master hear a board that it has forgotten, the agent's birth first.

        Without a master the board is installed all the same; ``place_them`` tells.
        """
        if node in self._states or not self._master:
            return
        try:
            await let_in(self._house, node)
        except NotLetInError:
            pass
        except PiRackError:
            self._master = False  # the next boards need not wait for it

    def _read_wheel(self) -> tuple[str, bytes]:
        if self._wheel is None:
            return distribution.build_wheel()
        return self._wheel.name, self._wheel.read_bytes()

    def _archive(
        self,
        board: BoardId,
        secret: Credentials,
        wheel: tuple[str, bytes],
        kinds: tuple[str, ...],
    ) -> bytes:
        content = io.BytesIO()
        # Among the secrets, for it holds one; gone again at once.
        with tempfile.TemporaryDirectory(dir=self._house.secrets) as into:
            made = bundle.write(
                self._house, board, secret, into=Path(into), kinds=kinds
            )
            (made / wheel[0]).write_bytes(wheel[1])
            with tarfile.open(fileobj=content, mode="w") as archive:
                archive.add(made, made.name, filter=_of_root)
                if self._wheelhouse is not None:
                    add_wheelhouse(archive, self._wheelhouse, made.name)
        return content.getvalue()


def add_wheelhouse(archive: tarfile.TarFile, wheelhouse: Path, bundle: str) -> None:
    """Add wheels to a bundle, and their hashes, which its ``install`` checks.

    Args:
        archive: The bundle goes into it.
        wheelhouse: The folder of the wheels.
        bundle: Name of the bundle's folder in the archive.

    Raises:
        OSError: A wheel cannot be read.
    """
    wheels = {one.name: one.read_bytes() for one in sorted(wheelhouse.glob("*.whl"))}
    sums = [f"{hashlib.sha256(wheels[name]).hexdigest()}  {name}\n" for name in wheels]
    files = wheels | {"SHA256SUMS": "".join(sums).encode()}
    for name, content in files.items():
        entry = tarfile.TarInfo(f"{bundle}/{WHEELHOUSE}/{name}")
        entry.size = len(content)
        archive.addfile(_of_root(entry), io.BytesIO(content))


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who we are here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
