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
from node_agent import identity
from pirack import broker_users, bundle, distribution
from pirack.bundle import BoardId
from pirack.enrolment import NotLetInError, let_in
from pirack.rack_config import RackAccess
from provisioning.deploy.deployer import Package
from provisioning.deploy.remote import Snapshot
from provisioning.deploy.wheels import WheelStore

WHEELHOUSE = "wheelhouse"


def board_of(snapshot: Snapshot) -> BoardId:
    """Returns a board's id: what it said of itself is laid out as its own files are.

    Args:
        snapshot: What it said.

    Raises:
        ConfigError: It has neither a serial nor a network interface.
    """
    with tempfile.TemporaryDirectory(prefix="pirack-") as directory:
        root = Path(directory)
        for name, text in snapshot.files.items():
            path = root / Path(name).relative_to("/")
            if ".." in path.parts:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        serial = identity.serial(root)
        macs = tuple(one.mac for one in identity.interfaces(root))
    node = identity.node_id(serial, macs)
    # An id from a serial it finds by itself; interfaces come and go.
    return BoardId(node, told=node != identity.node_id(serial, ()) if serial else True)


class BoardPacker:
    """Packs what the boards of one rack need.

    Args:
        access: The rack.
        states: What the master says of the nodes it knows; kept up to date by others.
        wheel: Our package; None for the one that runs here.
        wheelhouse: Wheels of what it needs, for boards without a package index; None
            where they have one.
    """

    def __init__(
        self,
        access: RackAccess,
        states: Mapping[str, NodeState],
        *,
        wheel: Path | None = None,
        wheelhouse: Path | None = None,
    ) -> None:
        self._access = access
        self._states = states
        self._master = True
        self._wheel = wheel
        self._wheelhouse = wheelhouse
        self._own: tuple[str, bytes] | None = None
        self._enrolling = asyncio.Lock()
        self.wheels: WheelStore | None = None
        """Those that boards made; None where a person brings a wheelhouse."""
        if wheelhouse is None:
            self.wheels = WheelStore(
                access.board_wheels, distribution.deploy_directory()
            )
        self.renamed: dict[str, Credentials] = {}
        """By node id: what goes to boards whose client id could be guessed. The broker
        is told when the board has it, so that a failed visit locks no board out."""

    def node(self, snapshot: Snapshot) -> str:
        """Returns the id a board will have.

        Raises:
            ConfigError: It has nothing to make one of.
        """
        return board_of(snapshot).node

    async def pack(self, snapshot: Snapshot) -> Package:
        """Makes the board's credentials known to the broker; returns its package.

        Raises:
            PiRackError: The broker or a file does not allow it.
            OSError: A file cannot be written.
        """
        board = await asyncio.to_thread(board_of, snapshot)
        async with self._enrolling:  # one change of the broker's users at a time
            secret, new = broker_users.node_secret(
                self._access, board.node, renew=False
            )
            await broker_users.admit(self._access, secret, renewed=new)
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
        """Makes the master admit a board it has forgotten, before its agent speaks.

        Without a master the board is installed all the same; ``place_boards`` says it.
        """
        if node in self._states or not self._master:
            return
        try:
            await let_in(self._access, node)
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
        with tempfile.TemporaryDirectory(dir=self._access.secrets) as into:
            made = bundle.write(
                self._access, board, secret, into=Path(into), kinds=kinds
            )
            (made / wheel[0]).write_bytes(wheel[1])
            with tarfile.open(fileobj=content, mode="w") as archive:
                archive.add(made, made.name, filter=_of_root)
                if self._wheelhouse is not None:
                    add_wheelhouse(archive, self._wheelhouse, made.name)
        return content.getvalue()


def add_wheelhouse(archive: tarfile.TarFile, wheelhouse: Path, bundle: str) -> None:
    """Adds wheels to a bundle, and their hashes, which its ``install`` checks.

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
    """Leaves out which user packs it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
