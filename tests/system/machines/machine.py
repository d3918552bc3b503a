"""Virtual machines as the boards of a rack, on a switch of their own.

A machine is a QEMU process that emulates the processor (TCG): no KVM is needed. Its
power is that process: what the machine had not written to its disk is lost when it is
killed. Its card is a layer over a disk that ``debian`` built. Its cable leads to a
``Switch``, a bridge in a network namespace; this machine's network stays as it is.
"""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fcntl import ioctl
from ipaddress import IPv6Address
from pathlib import Path
from struct import pack
from typing import Any, Protocol

from tests.system.machines import debian
from tests.system.provisioning_netns.namespace import enter

PREFIX = "pirack"
"""Of a namespace, before the process id of the maker: see ``run_cleanup``."""

RASPBERRY_PI = "b8:27:eb:00:00"
"""The first bytes of a board's MAC address: a block of the Raspberry Pi Foundation."""

KERNEL_WORDS = "root=/dev/vda ro net.ifnames=0 console=ttyS0 quiet"

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
"""linux/if_tun.h"""


class Machine(Protocol):
    """A computer with power, a cable, a card and somebody who may sign in."""

    name: str
    mac: str

    def start(self) -> None:
        """Gives it power; returns at once. One that has power is left alone."""

    def cut(self) -> None:
        """Takes its power away; what was not written to the card is lost."""

    def freeze(self) -> None:
        """Stops it where it stands: it hangs."""

    def thaw(self) -> None:
        """Lets it go on."""

    def unplug(self) -> None:
        """Pulls its network cable."""

    def plug(self) -> None:
        """Puts the network cable in again."""

    def console(self) -> str:
        """Returns what its serial console printed since it has power."""

    def ssh(self, command: str, *, timeout_s: float = 60) -> str:
        """Runs a command as the user ``pi``, and returns what it printed."""


class CommandError(Exception):
    """A command on a machine failed; says which, its exit code and all it printed."""

    def __init__(self, where: str, command: str, code: int, output: str) -> None:
        super().__init__(f"{where}: {command}\nexit code {code}\n{output}")
        self.code = code
        self.output = output


class Switch:
    """The network of a rack: a bridge in a namespace, to which machines are plugged."""

    def __init__(self, number: int = 0) -> None:
        self.namespace = f"{PREFIX}{os.getpid()}-machines{number}"

    def __enter__(self) -> "Switch":
        self._ip("netns", "add", self.namespace)
        inside = ("-n", self.namespace)
        self._ip(*inside, "link", "set", "lo", "up")
        # A MAC of its own: a bridge takes one of its ports' otherwise, and changes it.
        mac = "02:00:00:00:23:fe"
        self._ip(*inside, "link", "add", "br0", "address", mac, "type", "bridge")
        self._ip(*inside, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self._ip("netns", "delete", self.namespace)

    def port(self, name: str) -> int:
        """Returns the file descriptor of a new port; it goes when that is closed."""
        # In a thread of its own, for that one stays in the namespace.
        with ThreadPoolExecutor(1) as thread:
            port = thread.submit(self._open, name).result()
        self._ip(
            "-n", self.namespace, "link", "set", "dev", name, "master", "br0", "up"
        )
        return port

    def _open(self, name: str) -> int:
        enter(self.namespace)
        port = os.open("/dev/net/tun", os.O_RDWR)
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        ioctl(port, _TUNSETIFF, pack("16sH22x", name.encode(), flags))
        return port

    def inside(self, *command: str) -> list[str]:
        """Returns a command as it is run on this network, by somebody who looks on."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)


@dataclass(frozen=True)
class Model:
    """What a kind of virtual machine is made of.

    Attributes:
        memory_mb: Its memory.
        code_mb: The memory of this machine that holds translated code.
        uplink: Whether it has a second adapter, ``eth1``, for the rack; the first one
            then leads to where this machine's network leads (NAT by QEMU).
    """

    memory_mb: int = 256
    code_mb: int = 96
    uplink: bool = False


BOARD = Model()
MASTER = Model(memory_mb=1024, code_mb=256, uplink=True)


@dataclass
class VirtualMachine:
    """A machine that QEMU emulates.

    Attributes:
        name: Of its files and its port.
        mac: Of its cable on the switch.
        disk: What its card holds at first: made by ``debian.disk``.
        kernel: What it boots.
        switch: Where its cable leads.
        folder: Where its card and sockets are.
        model: What it is made of.
        kernel_words: More words for its kernel, which programs read in /proc/cmdline.
    """

    name: str
    mac: str
    disk: Path
    kernel: debian.Kernel
    switch: Switch
    folder: Path
    model: Model = BOARD
    kernel_words: str = ""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def card(self) -> Path:
        """The file that holds what was written since the card was new."""
        return self.folder / f"{self.name}.qcow2"

    @property
    def has_power(self) -> bool:
        """Whether it has power; a system that shut down still has."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Gives it power; returns at once. One that has power is left alone."""
        if self.has_power:
            return
        if not self.card.exists():
            command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"]
            subprocess.run([*command, "-b", self.disk, self.card], check=True)
        self._monitor_path.unlink(missing_ok=True)
        self._console_path.unlink(missing_ok=True)
        port = self.switch.port(self.name)
        try:
            with (self.folder / f"{self.name}.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._qemu(port),
                    pass_fds=[port],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        finally:
            os.close(port)

    def _qemu(self, port: int) -> list[str]:
        """The command line; what it emulates is the least that Debian boots on."""
        model, last = self.model, self.mac.rpartition(":")[2]
        # q35, for microvm hangs under TCG. -no-shutdown: no system cuts its own power.
        machine = f"""
            qemu-system-x86_64 -name {self.name}
            -accel tcg,thread=multi,tb-size={model.code_mb} -M q35 -cpu max -smp 1
            -m {model.memory_mb} -nodefaults -no-user-config -display none -no-shutdown
            -uuid 00000000-0000-4000-8000-b827eb0000{last}
            -device virtio-rng-pci
        """
        network = f"""
            -netdev tap,id=rack,fd={port}
            -device virtio-net-pci,netdev=rack,id=cable,mac={self.mac},romfile=
        """
        if model.uplink:
            uplink = f"mac=52:54:00:00:00:{last},romfile="
            uplink = f"-device virtio-net-pci,netdev=uplink,{uplink}"
            network = f"-netdev user,id=uplink {uplink} {network}"
        files = [
            *("-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initrd)),
            *("-append", f"{KERNEL_WORDS} {self.kernel_words}".strip()),
            *("-drive", f"file={self.card},if=virtio,format=qcow2,cache=writeback"),
            *("-serial", f"file:{self._console_path}"),
            *("-qmp", f"unix:{self._monitor_path},server=on,wait=off"),
        ]
        return [*machine.split(), *network.split(), *files]

    def cut(self) -> None:
        """Takes its power away; what was not written to the card is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stops it where it stands: it hangs."""
        self._monitor("stop")

    def thaw(self) -> None:
        """Lets it go on."""
        self._monitor("cont")

    def unplug(self) -> None:
        """Pulls its network cable."""
        self._monitor("set_link", name="cable", up=False)

    def plug(self) -> None:
        """Puts the network cable in again."""
        self._monitor("set_link", name="cable", up=True)

    @property
    def is_down(self) -> bool:
        """Whether it has no power, or its system has shut down."""
        return (
            not self.has_power or self._monitor("query-status")["status"] != "running"
        )

    def new_card(self, disk: Path | None = None) -> None:
        """Puts in a card on which nothing was written yet; without power only.

        Args:
            disk: What it holds; what the last one held at first when None.
        """
        assert not self.has_power, f"{self.name} has power: cut it first"
        self.card.unlink(missing_ok=True)
        self.disk = disk or self.disk

    def console(self) -> str:
        """Returns what its serial console printed since it has power."""
        path = self._console_path
        return path.read_text(errors="replace") if path.exists() else ""

    def ssh(self, command: str, *, timeout_s: float = 60, given: str = "") -> str:
        """Runs a command as the user ``pi``, and returns what it printed.

        Args:
            command: For the shell of that user.
            timeout_s: How long it may take.
            given: What it reads from its standard input.

        Raises:
            CommandError: It failed, or the machine does not let us in (code 255).
        """
        try:
            done = subprocess.run(
                self.switch.inside(*self._ssh(), command),
                check=False,
                timeout=timeout_s,
                input=given.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except subprocess.TimeoutExpired as error:
            output = (error.stdout or b"").decode(errors="replace")
            late = f"not done within {timeout_s:.0f} s\n"
            raise CommandError(self.name, command, -1, late + output) from error
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise CommandError(self.name, command, done.returncode, output)
        return output

    def put(self, source: Path, target: str) -> None:
        """Copies a file into the machine, as the user ``pi``."""
        with source.open("rb") as file:
            command = self.switch.inside(*self._ssh(), f"cat >{shlex.quote(target)}")
            subprocess.run(command, check=True, stdin=file, timeout=300)

    def get(self, source: str) -> bytes:
        """Returns the content of a file that the user ``pi`` may read."""
        command = self.switch.inside(*self._ssh(), f"cat {shlex.quote(source)}")
        return subprocess.check_output(command, timeout=300)

    def _ssh(self) -> list[str]:
        """A call that ends when the machine loses its power."""
        options = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "20",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "6",
        }
        words = [f"-o{option}={value}" for option, value in options.items()]
        return ["ssh", "-i", str(debian.key()), *words, f"pi@{self.link_local}%br0"]

    @property
    def link_local(self) -> IPv6Address:
        """Its address on the cable, which follows from the MAC (RFC 4291, EUI-64)."""
        one, *rest = bytes.fromhex(self.mac.replace(":", ""))
        eui = bytes([one ^ 2, *rest[:2], 0xFF, 0xFE, *rest[2:]])
        return IPv6Address(b"\xfe\x80" + bytes(6) + eui)

    def wait_for_ssh(self, *, timeout_s: float = 400) -> None:
        """Waits until somebody can sign in."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                self.ssh("true", timeout_s=40)
            except CommandError as error:
                if time.monotonic() > end:
                    tail = self.console()[-2000:]
                    text = f"{self.name} lets nobody in within {timeout_s:.0f} s\n"
                    raise AssertionError(text + tail) from error
                time.sleep(0.5)
            else:
                return

    def boot_id(self) -> str:
        """Returns the id of its present boot, which each boot has another."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id", timeout_s=40).strip()

    def wait_for_another_boot(self, boot_id: str, *, timeout_s: float = 400) -> None:
        """Waits until it was started anew, and somebody can sign in.

        Args:
            boot_id: Of the boot before.
            timeout_s: How long it may take.
        """
        end = time.monotonic() + timeout_s
        now = boot_id
        while now == boot_id:
            assert time.monotonic() < end, f"{self.name} did not start anew"
            with contextlib.suppress(CommandError):
                now = self.boot_id()
            time.sleep(0.5)

    # --- QEMU's monitor (QMP) ------------------------------------------------------

    @property
    def _monitor_path(self) -> Path:
        return self.folder / f"{self.name}.qmp"

    @property
    def _console_path(self) -> Path:
        return self.folder / f"{self.name}.console"

    def _monitor(self, command: str, **arguments: object) -> Any:  # noqa: ANN401  # JSON
        """Asks the emulator, and returns its answer."""
        assert self.has_power, f"{self.name} has no power"
        with self._connected() as stream:
            stream.readline()  # its greeting
            result = None
            for one in ("qmp_capabilities", command):
                rest = arguments if one == command else {}
                line = json.dumps({"execute": one, "arguments": rest})
                stream.write(line.encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
                assert "return" in answer, f"{self.name}: {one}: {answer}"
                result = answer["return"]
        return result

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        end = time.monotonic() + 20  # it listens a moment after its start
        while True:
            with closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.settimeout(20)
                try:
                    connection.connect(str(self._monitor_path))
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)
                    continue
                with connection.makefile("rwb") as stream:
                    yield stream
                    return
