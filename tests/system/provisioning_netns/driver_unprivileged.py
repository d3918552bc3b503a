"""A master without rights of its own; for test_privileges.py.

Arguments: folder, systemctl. It says what it did, line by line.
"""

import asyncio
import sys
from pathlib import Path

from provisioning.backends.daemon import SystemdDaemon
from provisioning.backends.dnsmasq import Dnsmasq
from provisioning.common.errors import BackendError, NetworkError
from provisioning.common.network import BoardHeard, ForeignServer
from provisioning.common.subnet import Reservation
from provisioning.discovery.sources import Sniffer
from tests.system.provisioning_netns.lab import SUBNET

BOARD = "dc:a6:32:00:00:0a"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Ear:
    def __init__(self) -> None:
        self.hears = asyncio.Event()

    def heard(self, ask: BoardHeard) -> None:
        say(f"heard {ask.mac}")
        self.hears.set()

    def server(self, server: ForeignServer) -> None:
        raise AssertionError(server)


async def main() -> None:
    """Serve, reserve for the first board that is heard, and read what was lent."""
    folder, systemctl = sys.argv[1:3]
    ear, sniffer = Ear(), Sniffer(SUBNET.interface, str(SUBNET.own))
    try:
        await sniffer.start(ear)
        backend = Dnsmasq(
            SUBNET, Path(folder), SystemdDaemon("pirack-dhcp.service", systemctl)
        )
        await backend.start()
        await backend.apply([Reservation(BOARD, "10.77.0.10", "s01n1")])
    except (BackendError, NetworkError) as error:
        say(f"refused: {error}")
        return
    say("serves")
    async with asyncio.timeout(20):
        await ear.hears.wait()
        while not (leases := await backend.leases()):  # noqa: ASYNC110  # a file
            await asyncio.sleep(0.02)
    say(f"lent {leases[0].address}")
    await sniffer.stop()


if __name__ == "__main__":
    asyncio.run(main())
