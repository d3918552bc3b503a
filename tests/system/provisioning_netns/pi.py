"""A simulated Pi: a namespace, a boot time and a DHCP client, on a real network."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

HOOK_FILE = "hook"
"""Where the lab puts ``HOOK``, in its folder."""

BOOT = """
ip link set eth0 up
sleep "$1"; shift
date +%s%N >>"$STATE/starts"
exec udhcpc -f -i eth0 -t 3 -T 1 -A 1 -s "$HOOK" "$@" >>"$STATE/log" 2>&1
"""

HOOK = """#!/bin/sh
# Of udhcpc ($1), dhclient ($reason) and dhcpcd ($reason, which sets addresses itself).
case ${1:-$reason} in
deconfig | EXPIRE | FAIL | RELEASE | STOP) ip address flush dev eth0 ;;
bound | renew)
    ip address flush dev eth0
    ip address add "$ip/$mask" dev eth0
    echo "$ip $hostname" >"$STATE/address"
    ;;
BOUND | RENEW | REBIND | REBOOT)
    if [ "$CLIENT" = dhclient ]; then
        ip address flush dev eth0
        ip address add "$new_ip_address/24" dev eth0
    fi
    echo "$new_ip_address $new_host_name" >"$STATE/address"
    ;;
PREINIT) ip link set eth0 up ;;
esac
exit 0
"""

CLIENTS = {
    "udhcpc": BOOT,
    "dhcpcd": """
ip link set eth0 up
sleep "$1"; shift
date +%s%N >>"$STATE/starts"
mount -t tmpfs none /run
mount -t tmpfs none /var/lib/dhcpcd
printf 'hostname raspberrypi\\noption host_name\\nduid\\n' >"$STATE/dhcpcd.conf"
exec dhcpcd -B -d -4 -f "$STATE/dhcpcd.conf" -c "$HOOK" -e "STATE=$STATE" \\
    -e CLIENT=dhcpcd "$@" eth0 >>"$STATE/log" 2>&1
""",
    "dhclient": """
ip link set eth0 up
sleep "$1"; shift
date +%s%N >>"$STATE/starts"
exec dhclient -d -4 -cf /dev/null -lf "$STATE/leases" -pf "$STATE/pid" -sf "$HOOK" \\
    -e "STATE=$STATE" -e CLIENT=dhclient "$@" eth0 >>"$STATE/log" 2>&1
""",
    # Without udev: /sys that cannot be written is how networkd knows a container.
    "networkd": """
ip link set eth0 up
sleep "$1"; shift
date +%s%N >>"$STATE/starts"
mount -t tmpfs none /run
mount -t sysfs -o ro none /sys
mkdir -p /run/systemd/network
# It gives up root, and from 257 on wants this folder to be its user's.
install -d -o systemd-network -g systemd-network /run/systemd/netif 2>/dev/null ||
    mkdir -p /run/systemd/netif
echo lxc >/run/systemd/container
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\n' \\
    >/run/systemd/network/10-eth0.network
printf 'IPv6AcceptRA=no\\n' >>/run/systemd/network/10-eth0.network
ip netns identify $$ | tr -dc a-f0-9 | md5sum | cut -c -32 >/run/machine-id
if [ -e /etc/machine-id ]; then
    mount --bind /run/machine-id /etc/machine-id
else
    printf '[DHCPv4]\\nClientIdentifier=mac\\n' >>/run/systemd/network/10-eth0.network
fi
exec /lib/systemd/systemd-networkd >>"$STATE/log" 2>&1
""",
    # As in a container, too. It makes "Wired connection 1" by itself, with the settings
    # that are its arguments, and would write this machine's /etc/resolv.conf.
    "NetworkManager": """
sleep "$1"; shift
date +%s%N >>"$STATE/starts"
mount -t tmpfs none /run
mount -t tmpfs none /etc/NetworkManager
mount -t tmpfs none /var/lib/NetworkManager
mount -t sysfs -o ro none /sys
mkdir /run/dbus
printf '[main]\\nplugins=keyfile\\nauth-polkit=false\\ndns=none\\n' \\
    >/etc/NetworkManager/NetworkManager.conf
printf '[connection]\\n%s\\n' "$*" >>/etc/NetworkManager/NetworkManager.conf
dbus-daemon --session --address=unix:path=/run/dbus/system_bus_socket --nofork \\
    --nopidfile >>"$STATE/log" 2>&1 &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.02; done
exec NetworkManager --debug --log-level=INFO >>"$STATE/log" 2>&1
""",
}
"""How a board boots with each DHCP client; udhcpc is the quickest."""


def wait_until(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Wait for a condition nobody tells of; return whether it came true."""
    end = time.monotonic() + within_s
    while not (came := true()) and time.monotonic() < end:
        time.sleep(0.02)
    return came


def run_ip(*arguments: str, lines: str | None = None) -> None:
    subprocess.run(
        ["ip", *arguments], input=lines, text=True, check=True, capture_output=True
    )


class Pi:
    """A board: a namespace, a boot time, and a DHCP client (a key of ``CLIENTS``)."""

    def __init__(
        self,
        folder: Path,
        mac: str,
        namespace: str,
        *,
        stack: int | None = None,
        boot_s: float = 0.2,
        client: tuple[str, ...] = (),
        program: str = "udhcpc",
    ) -> None:
        self.mac = mac
        self.stack = stack
        self.boot_s = boot_s
        self.client = client
        self.program = program
        self.silent = False
        self._renewed = 0.0
        self.namespace = namespace
        self.hook = folder / HOOK_FILE
        self.state = folder / self.namespace
        self.state.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def power_on(self) -> None:
        if self._process is not None or self.silent:
            return
        (self.state / "address").unlink(missing_ok=True)
        boot = CLIENTS[self.program]
        command = ["sh", "-c", boot, "boot", f"{self.boot_s:.2f}", *self.client]
        # In namespaces of its own: clients keep files in /run and /var/lib, and
        # NetworkManager sets the host name.
        own = () if self.program == "udhcpc" else ("unshare", "--mount", "--uts")
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.namespace}", *own, *command],
            env={**os.environ, "STATE": str(self.state), "HOOK": str(self.hook)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def power_off(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        off = "address flush dev eth0\nlink set eth0 down\n"
        run_ip("-n", self.namespace, "-batch", "-", lines=off)

    @property
    def address(self) -> str:
        """The address it was given since it was switched on; empty: none yet."""
        if self.program in {"networkd", "NetworkManager"}:
            return self._shown()
        return self._said().partition(" ")[0]

    @property
    def hostname(self) -> str:
        return self._said().partition(" ")[2]

    @property
    def starts(self) -> list[float]:
        """Unix times its client started, seconds."""
        lines = (self.state / "starts").read_text().split()
        return [int(line) / 1e9 for line in lines]

    def _said(self) -> str:
        try:
            return (self.state / "address").read_text().strip()
        except FileNotFoundError:
            return ""

    def _shown(self) -> str:
        """Return the address of its interface; these two run no hook."""
        command = ["ip", "-n", self.namespace, "-4", "-br", "address", "show", "eth0"]
        words = subprocess.check_output(command, text=True).split()
        return (
            words[2].partition("/")[0] if len(words) > 2 else ""
        )  # name, state, address

    def wait_address(self, timeout_s: float = 20.0) -> str:
        wait_until(lambda: bool(self.address), timeout_s)
        return self.address

    def renew(self) -> None:
        """Lets udhcpc ask for its lease now; by itself it would after 60 s."""
        now = time.monotonic()
        if self.program != "udhcpc" or now < self._renewed + 4.5:  # 3 s after a NAK
            return
        process = self._process
        if process is not None and self.address:  # else it is the shell that boots
            self._renewed = now
            process.send_signal(signal.SIGUSR1)

    def restart(self) -> str:
        """Power-cycle it and return the address it gets."""
        self.power_off()
        self.power_on()
        return self.wait_address()
