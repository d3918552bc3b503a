"""A rack of network namespaces: a switch, a master, a neighbour, and Pis on outlets.

Nothing touches the host's network: veth pairs are made inside the namespaces, which
have no way out. Each name carries our process id, so that runs do not meet.
"""

import asyncio
import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from broker.contract.messages import Power
from provisioning.backends.checks import serves_dhcp
from provisioning.common.subnet import Subnet
from tests.system.provisioning_netns.namespace import enter
from tests.system.provisioning_netns.pi import HOOK, HOOK_FILE, Pi, run_ip, wait_until

T = TypeVar("T")

MASTER, SWITCH, NEIGHBOUR = "m", "sw", "lan"
PREFIX = "pirack"
"""Of every namespace, before the process id of the maker: see ``run_cleanup``."""

SUBNET = Subnet(
    interface="eth1",
    address="10.77.0.1/24",
    first="10.77.0.10",
    pool_first="10.77.0.200",
    pool_last="10.77.0.250",
)

_numbers = itertools.count(1)


class Lab:
    """The namespaces of one test, gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"{PREFIX}{os.getpid()}-{next(_numbers)}-"
        self.namespaces: list[str] = []
        self.pis: list[Pi] = []
        self.levels: dict[int, Power] = {}
        self._programs: list[subprocess.Popen[bytes]] = []
        self._ports = itertools.count(1)
        self._closed = threading.Event()
        self._renewals = threading.Thread(target=self._renew, daemon=True)
        hook = folder / HOOK_FILE
        hook.write_text(HOOK)
        hook.chmod(0o755)

    def open(self) -> None:
        for name in (SWITCH, MASTER, NEIGHBOUR):
            self._add(name)
        switch = self.name(SWITCH)
        lines = "link add br0 type bridge\nlink set br0 up\n"
        run_ip("-n", switch, "-batch", "-", lines=lines)
        for name, device, address in (
            (MASTER, "eth1", SUBNET.address),
            (NEIGHBOUR, "eth0", "10.77.0.2/24"),
        ):
            self._cable(self.name(name), device, f"02:00:00:00:77:{len(name):02x}")
            up = f"link set {device} up\naddress add {address} dev {device}\n"
            up += "link set lo up\n"
            run_ip("-n", self.name(name), "-batch", "-", lines=up)
        assert wait_until(self._carries), "the cables carry nothing"
        self._renewals.start()

    def _carries(self) -> bool:
        """Whether all that is sent arrives: the kernel sees later that a cable is in.

        What is sent before is lost without a word.
        """
        ends = ((MASTER, "dev", "eth1"), (NEIGHBOUR, "dev", "eth0"))
        ports = self._shown(SWITCH, "master", "br0")
        return ports.count("state forwarding") == len(ends) and all(
            "state UP" in self._shown(*end) for end in ends
        )

    def _shown(self, where: str, *which: str) -> str:
        command = ["ip", "-n", self.name(where), "-details", "link", "show", *which]
        return subprocess.check_output(command, text=True)

    def _renew(self) -> None:
        """Lets boards with an address of the pool soon ask for it again."""
        while not self._closed.wait(0.2):
            for pi in list(self.pis):
                if pi.address and SUBNET.in_pool(pi.address):
                    pi.renew()

    def close(self) -> None:
        """End every process in our namespaces, then the namespaces."""
        self._closed.set()
        if self._renewals.ident is not None:
            self._renewals.join()
        for pi in self.pis:
            pi.power_off()
        wait_until(lambda: not self._end_processes())
        for program in self._programs:
            program.wait()
        lines = "".join(f"netns delete {name}\n" for name in self.namespaces)
        self.namespaces.clear()
        run_ip("-batch", "-", lines=lines)

    def _end_processes(self) -> int:
        """Kill what runs in our namespaces, and return how much there was."""
        killed = 0
        ours = {Path(f"/run/netns/{name}").stat().st_ino for name in self.namespaces}
        for process in Path("/proc").iterdir():
            try:
                inside = (process / "ns" / "net").stat().st_ino in ours
                if inside and int(process.name) != os.getpid():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
            except (OSError, ValueError):
                continue  # no process, or one that just ended
        return killed

    def name(self, short: str) -> str:
        return f"{self.prefix}{short}"

    def _add(self, short: str) -> str:
        name = self.name(short)
        self.namespaces.append(name)
        run_ip("netns", "add", name)
        return name

    def _cable(self, namespace: str, device: str, mac: str) -> None:
        port, switch = f"p{next(self._ports)}", self.name(SWITCH)
        one = ["name", device, "address", mac, "netns", namespace, "type", "veth"]
        run_ip("link", "add", *one, "peer", "name", port, "netns", switch)
        run_ip("-n", switch, "link", "set", port, "master", "br0", "up")

    def replug(self) -> None:
        """Pull the master's network adapter out and put it in again."""
        master = self.name(MASTER)
        run_ip("-n", master, "link", "delete", "eth1")
        self._cable(master, "eth1", "02:00:00:00:77:06")
        up = f"link set eth1 up\naddress add {SUBNET.address} dev eth1\n"
        run_ip("-n", master, "-batch", "-", lines=up)

    def plug_in(self, macs: list[str]) -> list[str]:
        """Make the namespaces of boards, all at once, and return their names."""
        names = [self.name(f"n{next(_numbers)}") for _ in macs]
        self.namespaces += names
        run_ip("-batch", "-", lines="".join(f"netns add {name}\n" for name in names))
        switch = self.name(SWITCH)
        links, ports = [], []
        for name, mac in zip(names, macs, strict=True):
            port = f"p{next(self._ports)}"
            links.append(
                f"link add name eth0 address {mac} netns {name} type veth "
                f"peer name {port} netns {switch}\n"
            )
            ports.append(f"link set {port} master br0 up\n")
        run_ip("-batch", "-", lines="".join(links))
        run_ip("-n", switch, "-batch", "-", lines="".join(ports))
        return names

    def build(self, boards: dict[str, dict[str, Any]]) -> list[Pi]:
        """Add boards: hardware address to the options of ``Pi``."""
        names = self.plug_in(list(boards))
        pis = [
            Pi(self.folder, mac, name, **options)
            for (mac, options), name in zip(boards.items(), names, strict=True)
        ]
        self.pis += pis
        return pis

    def pi(self, mac: str, **options: Any) -> Pi:  # noqa: ANN401  # options of Pi
        (pi,) = self.build({mac: options})
        return pi

    def pull_out(self, pi: Pi) -> None:
        """Take a board out of the rack, or another device off the network, for good."""
        pi.power_off()
        run_ip("-n", pi.namespace, "link", "set", "eth0", "down")
        self.pis.remove(pi)

    def static(self, address: str, mac: str) -> Pi:
        """Add a device that is always on and has an address of its own."""
        pi = self.pi(mac)
        lines = f"link set eth0 up\naddress add {address}/24 dev eth0\n"
        run_ip("-n", pi.namespace, "-batch", "-", lines=lines)
        return pi

    def start(self, where: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in a namespace; it ends with the lab."""
        program = subprocess.Popen(
            ["ip", "netns", "exec", self.name(where), *command],
            stdin=subprocess.DEVNULL,
        )
        self._programs.append(program)
        return program

    def rival(self, where: str = NEIGHBOUR) -> None:
        """Start a DHCP server of somebody else, and return once it serves.

        It broadcasts its offers: one that does not is heard only by who asks, and in
        passing only when a board takes its offer.
        """
        program = self.start(
            where,
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"),
            *("--interface=eth0", "--user=root", "--pid-file=", "--no-ping"),
            "--dhcp-range=10.77.0.150,10.77.0.160,2m",
            f"--dhcp-leasefile={self.folder}/rival",
            *("--dhcp-authoritative", "--dhcp-broadcast"),
        )
        assert wait_until(lambda: serves_dhcp(program.pid))

    def run(self, main: Callable[[], Coroutine[Any, Any, T]], where: str = MASTER) -> T:
        """Run a coroutine in a thread that is inside a namespace, and its children."""
        results: list[T] = []
        errors: list[BaseException] = []

        def inside() -> None:
            try:
                enter(self.name(where))
                results.append(asyncio.run(main()))
            except BaseException as error:  # noqa: BLE001  # raised again outside
                errors.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    # --- the outlets ------------------------------------------------------------------

    async def switch(self, stack: int, *, on: bool, consent: bool = False) -> None:
        del consent  # as if each board had an agent
        await asyncio.to_thread(self.switch_now, stack, on=on)

    def switch_now(self, stack: int, *, on: bool) -> None:
        self.levels[stack] = Power.ON if on else Power.OFF
        for pi in [pi for pi in self.pis if pi.stack == stack]:
            if on:
                pi.power_on()
            else:
                pi.power_off()

    async def read(self, stack: int) -> Power:
        return self.levels.get(stack, Power.OFF)
