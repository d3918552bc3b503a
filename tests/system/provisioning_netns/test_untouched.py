"""Nothing outside our own folder is touched.

All else is read-only meanwhile; where servers like to write there is an empty folder in
its place, for a program may not mind that it cannot write, and nobody would see it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.provisioning_netns.lab import MASTER, Lab
from tests.system.provisioning_netns.servers import SERVERS

pytestmark = pytest.mark.system

READ_ONLY = """
set -eu
mount --bind "$FOLDER" "$FOLDER"
while read -r _ _ _ _ at _; do
    [ "$at" = "$FOLDER" ] || mount -o remount,bind,ro "$at" 2>/dev/null || true
done </proc/self/mountinfo
for at in /etc /tmp /usr; do
    ! touch "$at/pirack-test" 2>/dev/null || { echo "$at can be written" >&2; exit 3; }
done
for at in /run /var/lib /var/log /var/tmp; do mount -t tmpfs empty "$at"; done
"$@"
rm -rf /run/mount # of mount itself
find /run /var/lib /var/log /var/tmp -mindepth 1 >&2
"""
"""Runs a command; says what it left. Needs a mount namespace of its own."""

STORY = """
import asyncio, pathlib, sys
from provisioning.common.subnet import Reservation
from tests.system.provisioning_netns.lab import SUBNET
from tests.system.provisioning_netns.servers import SERVERS

async def main():
    backend, child = SERVERS[sys.argv[1]](SUBNET, pathlib.Path(sys.argv[2]) / "dhcp")
    await backend.start()
    rows = [
        Reservation("dc:a6:32:00:00:01", "10.77.0.10", "s01n1"),
        Reservation("dc:a6:32:00:00:02", "10.77.0.11", "s01n2"),
    ]
    await backend.apply(rows)
    await backend.apply(rows[:1])
    await backend.apply(rows)
    await child.restart()
    assert await backend.alive()
    assert len(backend.applied()) == 2
    await backend.stop()

asyncio.run(main())
"""


def network(lab: Lab) -> str:
    """Addresses, routes and rules of the master; of IPv4, for others settle late."""
    words = ("address", "route", "rule")
    return "".join(
        subprocess.run(
            ["ip", "-4", "-n", lab.name(MASTER), word, "show"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for word in words
    )


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_writes_its_own_folder_and_changes_no_address_and_no_route(
    lab: Lab, server: str
) -> None:
    before = network(lab)
    inside = ["ip", "netns", "exec", lab.name(MASTER), "unshare", "--mount"]
    story = [sys.executable, "-c", STORY, server, str(lab.folder)]
    done = subprocess.run(
        [*inside, "--propagation=private", "sh", "-c", READ_ONLY, "sh", *story],
        cwd=Path(__file__).parents[3],
        env={
            **os.environ,
            "FOLDER": str(lab.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert network(lab) == before
