"""The one secret thing on a card: what its board needs to be a node, as an archive."""

import io
import tarfile
from pathlib import Path

from pirack import deploy_files
from pirack.deployment.packer import add_wheelhouse
from pirack.node.board_id import BoardId

ARCHIVE = "pirack-seed.tar"
_UNITS = ("enrol", "pirack-enrol.service")


def pack(
    bundle: Path,
    board: BoardId,
    *,
    wheel: tuple[str, bytes] | None = None,
    wheelhouse: Path | None = None,
) -> bytes:
    """Returns the archive that ``first-boot`` unpacks.

    Args:
        bundle: As ``pirack node add`` writes it; holds the board's password.
        board: Who it is for.
        wheel: File name and content of our package; None where the bundle has it.
        wheelhouse: Wheels of what the agent needs, for a board without a package
            index; None where it has one.

    Raises:
        ConfigError: This installation lacks the units.
        OSError: A file cannot be read.
    """
    content = io.BytesIO()
    seed = deploy_files.directory() / "seed"
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(bundle, "bundle", filter=_of_root)
        for name in _UNITS:
            archive.add(seed / name, name, filter=_of_root)
        if wheelhouse is not None:
            add_wheelhouse(archive, wheelhouse, "bundle")
        if wheel is not None:
            _add(archive, f"bundle/{wheel[0]}", wheel[1])
        # An id that the board must be told is not the one its serial gives it.
        _add(archive, "board", b"" if board.told else board.node.encode())
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves out who we are here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
