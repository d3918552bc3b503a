"""Deploys to one board without a rack: what goes wrong needs none."""

import asyncio
import io
import tarfile
from pathlib import Path

from broker.contract.topics import Topics
from broker.mosquitto.credentials import Credentials
from pirack import bundle
from pirack.deploy_packer import board_of
from pirack.rack_config import RackAccess
from provisioning.deploy import ssh
from provisioning.deploy.deployer import DeployContext, Deployer, DeployPace, Package
from provisioning.deploy.remote import Snapshot
from provisioning.deploy.report import Report, Target
from provisioning.deploy.ssh import HostKeys
from provisioning.deploy.wheels import WheelStore, WheelSupply
from tests.system.deploy.pi import Pi


class Alone:
    """A packer without a rack: its broker is a port where nobody listens.

    Args:
        directory: For what it packs.
        files: Our wheel, and the folder with those it needs; empty for none.
    """

    def __init__(self, directory: Path, files: tuple[Path, ...] = ()) -> None:
        self._files = files
        self._house = RackAccess(
            topics=Topics("lab"),
            broker=("127.0.0.1", 9),
            host="127.0.0.1",
            port=9,
            secrets=directory,
            tls=directory,
            dynsec=directory / "dynsec.json",
            source=directory / "pirack.toml",
        )

    def node(self, snapshot: Snapshot) -> str:
        return board_of(snapshot).node

    async def pack(self, snapshot: Snapshot) -> Package:
        board = board_of(snapshot)
        secret = Credentials(username=board.node, password="secret")
        self._house.files.authority.write_text("no authority\n")
        made = bundle.write(
            self._house, board, secret, into=self._house.secrets / "bundles"
        )
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.add(made, board.node)
            for one in self._files:
                name = "wheelhouse" if one.is_dir() else one.name
                archive.add(one, f"{board.node}/{name}")
        return Package(node=board.node, archive=content.getvalue())


class Deaf:
    """Hears no agent."""

    deaf = ""

    def session(self, node: str) -> str:
        del node
        return ""

    async def newborn(self, node: str, *, after: str) -> str:
        await asyncio.Event().wait()
        return f"{node}{after}"

    async def alive(self, node: str) -> str:
        return await self.newborn(node, after="")


async def deploy(
    pi: Pi,
    folder: Path,
    *files: Path,
    key: Path | None = None,
    port: int = 0,
    wheels: WheelStore | None = None,
    told: list[Report] | None = None,
) -> Report:
    """Try it once.

    Args:
        pi: The board.
        folder: For host keys and what is packed.
        files: Our wheel, and the folder with those it needs.
        key: Folder of the SSH key; None for the same.
        port: Where the board is looked for; 0 for where it is.
        wheels: Where those are kept that boards make: ``board-wheels`` of the folder.
        told: Gets all that is said meanwhile.
    """
    keys = (ssh.own_key(key or folder),)
    door = ssh.Ssh("pi", keys, HostKeys(folder / "known_hosts"), advice="copy the key")
    packer = Alone(folder, files)
    pace = DeployPace(attempts=1, birth_s=1.0, start_s=0.0)
    supply = WheelSupply(wheels) if wheels else None
    means = DeployContext(
        connect=door, packer=packer, agents=Deaf(), pace=pace, wheels=supply
    )
    target = Target(host=pi.address, port=port or pi.port)
    said: list[Report] = [] if told is None else told
    (report,) = await Deployer(means).deploy([target], said.append)
    assert report.trouble is not None
    return report
