"""Option files for the mosquitto command line tools: lines to paste, without secrets.

``mosquitto_pub`` reads ``$XDG_CONFIG_HOME/mosquitto_pub`` (mosquitto_pub(1), "Files"):
one option a line, the value is the rest of the line, nothing is quoted. So a pasted
line shows no password in a process list or a shell's history.
"""

import shlex
import shutil
from pathlib import Path

from broker.common.atomic import replace
from pirack.runfile import MqttAccess

TOOLS = ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")
DIRECTORY = "client"


def write(data: Path, access: MqttAccess) -> Path:
    """Writes an option file for each tool and returns their directory.

    Raises:
        OSError: The directory cannot be written.
    """
    directory = data / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    for tool in TOOLS:
        replace(directory / tool, options(access).encode(), mode=0o600)
    return directory


def options(access: MqttAccess) -> str:
    """Returns the lines of an option file."""
    pairs = (
        ("-h", access.host),
        ("-p", access.port),
        ("-u", access.username),
        ("-P", access.password),
    )
    return "".join(f"{name} {value}\n" for name, value in pairs)


def find(tool: str, beside: Path | None) -> str:
    """Returns how to call a tool: its name if it is on the path, else the whole path.

    Args:
        tool: For example ``mosquitto_pub``.
        beside: The broker's program, where an unpacked package has the tools near it.
    """
    if shutil.which(tool):
        return tool
    if beside is not None:
        # Of …/usr/sbin/mosquitto: scripts/get-mosquitto puts tools that find their
        # libraries into …/bin; a package has …/usr/bin.
        usr = beside.parent.parent
        for candidate in (usr.parent / "bin" / tool, usr / "bin" / tool):
            if candidate.exists():
                return str(candidate)
    return tool


def line(directory: Path, tool: str, *words: str) -> str:
    """Returns a line that works when it is pasted into a shell."""
    home = shlex.quote(str(directory))
    return f"XDG_CONFIG_HOME={home} {shlex.join((tool, *words))}"
