"""Our own package as a wheel, made of the files that run here.

So the boards get exactly what the master's Pi has, with no build tool, no internet and
no file to keep; from an installed wheel or a checkout alike.
"""

import base64
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pirack
from broker.common.errors import ConfigError
from pirack import deploy_files

PACKAGES = (
    "broker",
    "dashboard",
    "master_service",
    "node_agent",
    "pirack",
    "provisioning",
)
_OF_THIS_MACHINE = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
"""What an installer adds to a distribution's metadata."""
_DATE = (1980, 1, 1, 0, 0, 0)
"""The first a zip archive knows: the same files make the same bytes."""


def build() -> tuple[str, bytes]:
    """Return file name and content of the wheel; the same files make the same bytes.

    Raises:
        ConfigError: This is no installation that has metadata.
        OSError: A file cannot be read.
    """
    try:
        version = importlib.metadata.version("pirack")
    except importlib.metadata.PackageNotFoundError as error:
        text = "pirack is not installed here, it only runs; name a wheel with --wheel"
        raise ConfigError(text) from error
    about = f"pirack-{version}.dist-info"
    files = dict(_files(about))
    files[f"{about}/RECORD"] = _record(files, f"{about}/RECORD")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, body)
    return f"pirack-{version}-py3-none-any.whl", content.getvalue()


def _files(about: str) -> Iterator[tuple[str, bytes]]:
    """Return names and contents, metadata last as the format wants it."""
    root = Path(pirack.__file__).parent.parent
    for package in PACKAGES:
        yield from _below(root / package, package)
    units = deploy_files.directory()
    if units != root / "pirack/deploy":  # a checkout has them elsewhere
        yield from _below(units, "pirack/deploy")
        yield "pirack/mosquitto.conf", deploy_files.mosquitto_conf().read_bytes()
    metadata = importlib.metadata.distribution("pirack").locate_file(about)
    for name, content in _below(Path(str(metadata)), about):
        if name.rpartition("/")[2] not in _OF_THIS_MACHINE:
            yield name, content


def _below(directory: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{name}/{path.relative_to(directory).as_posix()}", path.read_bytes()


def _record(files: dict[str, bytes], own: str) -> bytes:
    """Return the list of files with their digests (PEP 376, PEP 427)."""
    rows = [
        f"{name},sha256={_digest(files[name])},{len(files[name])}" for name in files
    ]
    return ("\n".join([*rows, f"{own},,"]) + "\n").encode()


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
