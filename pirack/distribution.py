"""What this installation has of its own: units and rules, and itself as a wheel.

The wheel is made of the files that run here, so the boards get exactly what the
master's Pi has, with no build tool, no internet and no file to keep; from an installed
wheel or a checkout alike.
"""

import base64
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from broker.common.errors import ConfigError

_HERE = Path(__file__).parent
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


def deploy_directory() -> Path:
    """Returns the directory of units and rules: in the wheel, or in the checkout.

    Raises:
        ConfigError: This installation lacks it.
    """
    return _find("deploy/pirack-agent.service").parent


def mosquitto_conf() -> Path:
    """Returns the annotated configuration of a broker in production.

    Raises:
        ConfigError: This installation lacks it.
    """
    return _find("mosquitto.conf")


def _find(name: str) -> Path:
    for base in (_HERE, _HERE.parent):
        if (base / name).exists():
            return base / name
    text = f"{_HERE / name} is missing: install the pirack package again"
    raise ConfigError(text)


def build_wheel() -> tuple[str, bytes]:
    """Returns file name and content of the wheel; the same files make the same bytes.

    Raises:
        ConfigError: This installation has no metadata.
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
    """Returns names and contents, metadata last as the format wants it."""
    root = _HERE.parent
    for package in PACKAGES:
        yield from _below(root / package, package)
    units = deploy_directory()
    if units != root / "pirack/deploy":  # a checkout has them elsewhere
        yield from _below(units, "pirack/deploy")
        yield "pirack/mosquitto.conf", mosquitto_conf().read_bytes()
    metadata = importlib.metadata.distribution("pirack").locate_file(about)
    for name, content in _below(Path(str(metadata)), about):
        if name.rpartition("/")[2] not in _OF_THIS_MACHINE:
            yield name, content


def _below(directory: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{name}/{path.relative_to(directory).as_posix()}", path.read_bytes()


def _record(files: dict[str, bytes], own: str) -> bytes:
    """Returns the list of files with their digests (PEP 376, PEP 427)."""
    rows = [
        f"{name},sha256={_digest(files[name])},{len(files[name])}" for name in files
    ]
    return ("\n".join([*rows, f"{own},,"]) + "\n").encode()


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def built_wheel(version: str) -> Path | None:
    """Returns what ``make wheel`` built of this version; None if it built nothing."""
    return next((_HERE.parent / "dist").glob(f"pirack-{version}-*.whl"), None)


def check_packages(wheel: Path | None, wheelhouse: Path | None = None) -> None:
    """Checks that what is to be installed is there.

    Args:
        wheel: Our package; None where no person names one.
        wheelhouse: Wheels of what it needs; None for the package index.

    Raises:
        ConfigError: It is not there.
    """
    if wheel is not None and not wheel.is_file():
        text = f"--wheel {wheel}: is not a file; `make wheel` builds one in dist/"
        raise ConfigError(text)
    if wheel is not None and wheel.suffix != ".whl":
        text = f"--wheel {wheel}: is not a wheel; `make wheel` builds one in dist/"
        raise ConfigError(text)
    if wheelhouse is not None and not any(wheelhouse.glob("*.whl")):
        text = f"--wheelhouse {wheelhouse}: has no wheels; see docs/provisioning.md"
        raise ConfigError(text)
