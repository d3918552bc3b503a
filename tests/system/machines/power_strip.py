"""A power strip with a network socket: each outlet feeds machines.

It knows what no relay knows: whether a board's system was down when it was cut.
"""

import socketserver
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.system.machines.machine import VirtualMachine

CLIENT = r"""
cat >/usr/local/bin/power-strip <<'EOF'
#!/bin/bash
# power-strip on|off|status OUTLET: asks the strip on the network of the house
port=$(sed -n 's/.*power_strip=\([0-9]*\).*/\1/p' /proc/cmdline)
exec 3<>"/dev/tcp/10.0.2.2/$port" || exit 75
echo "$1 $2" >&3
read -r -t 20 answer <&3 || exit 75
echo "$answer"
EOF
chmod 755 /usr/local/bin/power-strip
"""
"""What a card's script runs to get the strip's program.

QEMU's NAT leads to us; the port, which each run has another, is told to the kernel.
"""


@dataclass(frozen=True)
class Switching:
    """One switching of an outlet.

    Attributes:
        outlet: Its number.
        on: What it was switched to.
        running: The boards whose system ran when their power was cut.
        monotonic_s: When.
    """

    outlet: int
    on: bool
    running: tuple[str, ...]
    monotonic_s: float


class PowerStrip:
    """Serves the outlets until it is closed; every switching is kept."""

    def __init__(self, outlets: Mapping[int, Sequence[VirtualMachine]]) -> None:
        """Plugs machines in; all outlets are off.

        Args:
            outlets: The machines that each outlet feeds.
        """
        self.outlets = {number: list(fed) for number, fed in outlets.items()}
        self.on = dict.fromkeys(outlets, False)
        self.log: list[Switching] = []
        self._lock = threading.Lock()
        strip = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words = self.rfile.readline(100).decode().split()
                self.wfile.write(strip.answer(words).encode() + b"\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on this machine."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Takes the power away from all that it feeds."""
        self._server.shutdown()
        self._server.server_close()
        self.mains_cut()

    def answer(self, words: list[str]) -> str:
        """Obeys one question of the client, and returns what it is told."""
        match words:
            case ["on" | "off" as level, number] if int(number) in self.on:
                self.switch(int(number), on=level == "on")
            case ["status", number] if int(number) in self.on:
                pass
            case _:
                return f"no such command: {words}"
        return "power on" if self.on[int(number)] else "power off"

    def switch(self, number: int, *, on: bool) -> None:
        """Switches an outlet with all that it feeds."""
        with self._lock:
            fed = self.outlets[number]
            running = () if on else tuple(one.name for one in fed if not one.is_down)
            self.log.append(Switching(number, on, running, time.monotonic()))
            self.on[number] = on
            for machine in fed:
                if on:
                    machine.start()
                else:
                    machine.cut()

    def mains_cut(self) -> None:
        """Cuts everything at once, as when the mains fail; no outlet is switched."""
        with self._lock:
            for fed in self.outlets.values():
                for machine in fed:
                    machine.cut()

    def mains_back(self) -> None:
        """Feeds again what was on: a relay keeps its position (latching)."""
        with self._lock:
            for number, fed in self.outlets.items():
                for machine in fed:
                    if self.on[number]:
                        machine.start()

    def cut_while_running(self) -> list[Switching]:
        """Returns the switchings that cut a board whose system ran."""
        return [one for one in self.log if one.running]
