"""What a lab could leave behind: namespaces, and processes with their ports."""

import os
import subprocess
from pathlib import Path

from tests.system.provisioning_netns.lab import Lab


def leftovers(lab: Lab) -> list[str]:
    """Return the namespaces that bear a lab's name, and who was told of its folder."""
    listed = subprocess.run(
        ["ip", "netns", "list"], check=True, capture_output=True, text=True
    )
    namespaces = [word for word in listed.stdout.split() if lab.prefix in word]
    return namespaces + _processes(lab.folder)


def own_sockets() -> set[str]:
    """Return the sockets this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except OSError:
            continue  # the one that lists them
    return {one for one in found if one.startswith("socket:")}


def _processes(folder: Path) -> list[str]:
    word = os.fsencode(folder)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            told = command + (process / "environ").read_bytes()
        except OSError:
            continue  # just ended, or the kernel's
        if word in told and int(process.name) != os.getpid():
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found
