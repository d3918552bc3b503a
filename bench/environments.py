"""Virtual environments for what is measured apart from our own development tools.

They live below the system's temporary folder, made once and used again.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.workshop import BenchError

NODE = ("paho-mqtt", "psutil", "msgspec")
"""What a node installs; a development environment has packages that msgspec and others
import when they are there, and would make an agent look larger than it is."""

RIVALS = ("psmqtt==2.6.2", "Glances==4.5.8", "certifi")
"""Pinned, so that tables of different days compare; Glances' MQTT export imports
certifi without asking for it."""

_INSTALL_S = 300.0


def prepared(name: str, packages: tuple[str, ...]) -> Path:
    """Return the ``bin`` folder of an environment; make it if it is not there.

    Args:
        name: Of the environment.
        packages: What pip is asked for.

    Raises:
        BenchError: It could not be installed, for example without a network.
    """
    folder = Path(tempfile.gettempdir()) / f"pirack-bench-{name}-{os.getuid()}"
    marker = folder / "installed.txt"
    wanted = " ".join((sys.version, *packages))
    if not marker.exists() or marker.read_text() != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(folder / "bin" / "pip"), "install", "--quiet", *packages)
        marker.write_text(wanted)
    return folder / "bin"


def _run(*argv: str) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", b"") or b""
        text = f"{' '.join(argv)}: {error} {output.decode(errors='replace')[-500:]}"
        raise BenchError(text) from error
