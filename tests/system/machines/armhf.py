"""An emulated 32-bit board: Debian armhf with its kernel, on QEMU's ARM machine.

Its programs are run by qemu-user while its card is built. The kernel finds qemu-user by
a table of binary formats (binfmt_misc) of the build's own user namespace, so nothing is
registered on this machine, and nothing stays however the build ends.
"""

import base64
import io
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pirack import distribution
from provisioning.deploy import remote
from provisioning.deploy.wheels import RECIPE, WheelStore
from tests.system.machines import debian
from tests.system.machines.machine import RASPBERRY_PI, CommandError, VirtualMachine
from tests.system.machines.packages import CACHE, Packages, cached

SUITE: Literal["trixie"] = "trixie"
LINUX = (6, 7)
"""The first with tables of binary formats that belong to a user namespace."""

NOT_LET_IN = 255
"""Exit code of ssh itself."""

_MAGIC = r"\x7fELF\x01\x01\x01" + r"\x00" * 9 + r"\x02\x00\x28\x00"
_MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
"""How an ARM program of 32 bits begins, and which bits of that count."""

_USERS = 65536

MOST_BOARDS = 4
_NETWORK = {
    f"10-rack-{number}.network": f"""
[Match]
MACAddress={RASPBERRY_PI}:0{number}

[Network]
Address=192.168.23.1{number}/24
LinkLocalAddressing=ipv6
IPv6LinkLocalAddressGenerationMode=eui64
"""
    for number in range(1, MOST_BOARDS + 1)
} | {"20-uplink.network": "[Match]\nName=eth*\n\n[Network]\nDHCP=ipv4\n"}
"""Fixed addresses on the rack's cable; the other one leads to package indexes."""

_INSIDE = r"""
read -r ready  # the users of the namespace are mapped
exec unshare --mount --pid --fork --kill-child --mount-proc sh -ec '
    root=$1
    shift
    table=/proc/sys/fs/binfmt_misc
    mount -t binfmt_misc binfmt_misc "$table"
    printf %s ":arm:M::$MAGIC:$MASK:$INTERPRETER:F" >"$table/register"
    [ -z "$ARCHIVES" ] || mount --bind "$ARCHIVES" "$root/var/cache/apt/archives"
    mount -t proc proc "$root/proc"
    mount -t tmpfs dev "$root/dev"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/dev/shm" "$root/dev/pts"
    unset MAGIC MASK INTERPRETER ARCHIVES
    exec chroot "$root" "$@"' sh "$@"
"""


def missing() -> str:
    """Returns what this machine lacks for 32-bit boards, in words; empty if nothing."""
    version = tuple(int(one) for one in os.uname().release.split(".")[:2])
    if version < LINUX:
        return f"Linux 6.7 or newer is needed, here is {os.uname().release}"
    subprocess.run(["modprobe", "-q", "binfmt_misc"], check=False, capture_output=True)
    if "binfmt_misc" not in Path("/proc/filesystems").read_text():
        return "this kernel has no binfmt_misc"
    return ""


def _interpreter() -> Path:
    """The program that runs those of a 32-bit ARM.

    It is unpacked, for its package would register it on this machine.
    """
    words = ("dpkg", "--print-architecture")
    ours = subprocess.check_output(words, text=True).strip()
    packages = Packages("bookworm", ours)
    name = "qemu-arm-static"
    files = (f"./usr/bin/{name}",)
    folder = packages.unpacked("qemu-user-static", matching="qemu-user-*", files=files)
    return folder / "usr/bin" / name


def in_root(
    folder: Path,
    command: list[str],
    settings: dict[str, str] | None = None,
    *,
    archives: Path | None = None,
) -> str:
    """Runs a command of a 32-bit root folder in it, and returns what it printed.

    Args:
        folder: The root.
        command: Of the root, with its arguments.
        settings: Its environment, beside the usual variables.
        archives: Where apt keeps what it downloads.
    """
    environment = {
        **debian.ROOT_ENVIRONMENT,
        "container": "lxc",  # debootstrap makes no device files then; it could not
        "MAGIC": _MAGIC,
        "MASK": _MASK,
        "INTERPRETER": str(_interpreter()),
        "ARCHIVES": str(archives or ""),
        **(settings or {}),
    }
    words = ["nice", "-n", "5", "unshare", "--user", "sh", "-ec", _INSIDE, "sh"]
    with subprocess.Popen(
        [*words, str(folder), *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        _map_users(process.pid)
        output, _ = process.communicate("\n")
    if process.returncode:
        text = f"{' '.join(command)[:300]}: exit code {process.returncode}\n"
        raise debian.BuildError(text + output[-3000:])
    return output


def _map_users(pid: int) -> None:
    """Lets a new user namespace have the users that this machine has."""
    ours = Path("/proc/self/ns/user").readlink()
    while Path(f"/proc/{pid}/ns/user").readlink() == ours:
        time.sleep(0.005)
    for file in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{file}").write_text(f"0 0 {_USERS}")


def _plain() -> Path:
    """The smallest Debian armhf, as a tarball in a folder."""

    def build(into: Path) -> None:
        root = into / "root"
        first = ["debootstrap", "--foreign", "--arch=armhf", "--variant=minbase"]
        words = [*first, "--include=ca-certificates", SUITE, str(root), debian.mirror()]
        subprocess.run(words, check=True, capture_output=True, timeout=600)
        in_root(root, ["/debootstrap/debootstrap", "--second-stage"])
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        debian.pack(root, into / "root.tar")
        shutil.rmtree(root)

    return cached(CACHE, f"debian-{SUITE}-armhf", _INSIDE.encode(), build) / "root.tar"


@dataclass(frozen=True)
class Boot:
    """What a 32-bit board boots from."""

    disk: Path
    kernel: debian.Kernel


def boot() -> Boot:
    """Returns disk and kernel of a 32-bit board, built at the first call."""
    packages = Packages(SUITE, "armhf")
    kernel = packages.unpacked("linux-image-armmp", matching="linux-image-[0-9]*")
    busybox = packages.unpacked("busybox-static", matching="busybox-static")
    card = debian.Card(suite=SUITE, dhcp_client="systemd-networkd", packages="kmod")
    public = debian.key().with_suffix(".pub").read_text().strip()
    parts = (card, public, debian.BUILD_CARD.read_text(), debian.host_settings_hash())
    image = next((kernel / "boot").glob("vmlinuz-*"))
    ours = (image.name, _INSIDE, _NETWORK, debian.DISK_SIZE, debian.MODULES)
    inputs = repr((*parts, *ours))

    def build(into: Path) -> None:
        root = debian.unpack(_plain(), into / "root")
        debian.copy_host_settings(root, run=in_root)
        shutil.copy(debian.BUILD_CARD, root / "build-card")
        settings = {
            "PACKAGES": card.all_packages,
            "CLIENT": card.dhcp_client,
            "KEY": public,
        }
        archives = CACHE / f"archives-{SUITE}-armhf"
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        in_root(root, ["/build-card"], settings, archives=archives)
        (root / "build-card").unlink()
        for name, text in _NETWORK.items():
            (root / "etc/systemd/network" / name).write_text(text)
        shutil.copy(image, into / "vmlinuz")
        version = image.name.removeprefix("vmlinuz-")
        modules = into / "modules"
        shutil.copytree(kernel, modules, symlinks=True)
        shutil.copy(busybox / "usr/bin/busybox", modules / "usr/bin/busybox")
        debian.make_initrd(modules, version, into / "made", into / "initrd")
        shutil.copytree(modules / "usr/lib/modules", root / "usr/lib/modules")
        debian.make_disk(root, into / "disk.qcow2")
        for folder in (root, modules, into / "made"):
            shutil.rmtree(folder)

    made = cached(CACHE, f"board-{SUITE}-armhf", inputs.encode(), build)
    return Boot(
        disk=made / "disk.qcow2",
        kernel=debian.Kernel(image=made / "vmlinuz", initrd=made / "initrd"),
    )


def wheels() -> Path:
    """Returns a folder of wheels for 32-bit boards, as the master keeps them.

    ``deploy/wheels`` makes them, as it does in a layer over a board's system; here by
    qemu-user, because a compiler takes an emulated board half an hour.
    """
    units = distribution.deploy_directory()
    recipe = [(units / name).read_bytes() for name in RECIPE]
    inputs = repr((recipe, _INSIDE, debian.host_settings_hash())).encode()

    def build(into: Path) -> None:
        root = debian.unpack(_plain(), into / "root")
        debian.copy_host_settings(root, run=in_root)
        place = root / "wheels/recipe"
        place.mkdir(parents=True)
        for name in RECIPE:
            shutil.copy(units / name, place)
        archives = CACHE / f"archives-{SUITE}-armhf"
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        needed = "apt-get -q=2 update && apt-get -q=2 --yes install python3-venv"
        in_root(root, ["sh", "-c", f"{needed} 2>&1"], archives=archives)
        in_root(root, ["sh", "/wheels/recipe/wheels", "inside"], archives=archives)
        answers = in_root(root, ["sh", "-c", remote.ASK]).splitlines()
        (kind,) = (one[5:] for one in answers if one.startswith("kind\t"))
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as archive:
            archive.add(root / "wheels/made", arcname=".")
        printed = base64.b64encode(made.getvalue()).decode()
        kept = WheelStore(into / "board-wheels", units)
        kept.keep(kind, printed, "made by qemu-user from source")
        shutil.rmtree(root)

    return cached(CACHE, f"wheels-{SUITE}-armhf", inputs, build) / "board-wheels"


@dataclass
class ArmMachine(VirtualMachine):
    """A board of 32 bits: a Cortex-A15, as QEMU emulates it."""

    def ssh(self, command: str, *, timeout_s: float = 120, given: str = "") -> str:
        """Runs a command as the user ``pi``, and returns what it printed.

        The board may be too busy to let anybody in within seconds: thrice.
        """
        for _ in range(2):
            try:
                return super().ssh(command, timeout_s=timeout_s, given=given)
            except CommandError as error:
                if error.code != NOT_LET_IN:
                    raise
        return super().ssh(command, timeout_s=timeout_s, given=given)

    def _qemu(self, port: int) -> list[str]:
        """The command line; PCI below 4 GB, for this kernel sees no more."""
        words = super()._qemu(port)
        words[words.index("-M") + 1] = "virt,highmem=off"
        words[words.index("-cpu") + 1] = "cortex-a15"
        words[words.index("qemu-system-x86_64")] = "qemu-system-arm"
        append = words.index("-append") + 1
        words[append] = words[append].replace("ttyS0", "ttyAMA0")
        return words
