"""Builds what virtual machines boot from: a Debian as a card, its kernel, its disk.

Each thing is made once and kept below ``.cache/machines``, under the hash of all that
goes into it, so that a change of any of it builds anew. Needs root; nothing is mounted
outside the namespaces of a build, so nothing stays mounted, however it ends.
"""

import fcntl
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

ROOT = Path(__file__).parents[3]
CACHE = ROOT / ".cache" / "machines"
BUILD_CARD = Path(__file__).with_name("build-card")

PROGRAMS = Path(__file__).with_name("packages.txt")
"""What the laboratory runs, and the Debian package of each."""

DISK_SIZE = "4G"
"""Of a card; its file grows as it is used."""

DEFAULT_PACKAGES = (
    "systemd systemd-sysv udev dbus openssh-server sudo polkitd iproute2 iputils-ping "
    "procps python3 python3-venv ca-certificates"
)
CLIENT_PACKAGES = {
    "network-manager": "network-manager",
    "dhcpcd": "ifupdown dhcpcd-base",
    "systemd-networkd": "",
}

MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
"""What a kernel needs to find the devices and the disk of a virtual machine."""


@dataclass(frozen=True)
class Card:
    """What is on a card before it is put into a board.

    Attributes:
        suite: The release of Debian.
        dhcp_client: Raspberry Pi OS 12 and 13 have NetworkManager, 11 has dhcpcd.
        packages: More packages, separated by spaces.
        script: More to do in the root, as root, when all packages are installed.
    """

    suite: Literal["trixie", "bookworm"] = "trixie"
    dhcp_client: Literal["network-manager", "dhcpcd", "systemd-networkd"] = (
        "network-manager"
    )
    packages: str = ""
    script: str = "true"

    @property
    def all_packages(self) -> str:
        """The packages beyond a minimal Debian."""
        client = CLIENT_PACKAGES[self.dhcp_client]
        return f"{DEFAULT_PACKAGES} {client} {self.packages}"


@dataclass(frozen=True)
class Kernel:
    """A kernel of Debian for virtual machines, and an initramfs that finds the disk."""

    image: Path
    initrd: Path


class BuildError(Exception):
    """A step of a build failed; says which, and the end of what it printed."""


def missing() -> str:
    """Returns why the laboratory cannot work here, and what to do; empty if it can."""
    if os.geteuid() != 0:
        return "virtual boards need root (namespaces, chroot): sudo make test-machines"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = []
    for line in PROGRAMS.read_text().splitlines():
        program, package, _ = [*line.split(), "", "", ""][:3]
        if program not in {"", "#"} and not shutil.which(program, path=path):
            absent.append(package)
    if absent:
        return f"missing: apt-get install --no-install-recommends {' '.join(absent)}"
    return ""


def key() -> Path:
    """Returns the private SSH key that every card lets in as its user ``pi``."""
    path = CACHE / "key"
    with _lock("key"):
        if not path.exists():
            command = [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "laboratory",
            ]
            _run([*command, "-f", str(path)])
    return path


def disk(card: Card) -> Path:
    """Returns the disk of a card: a qcow2 file that machines put a layer over."""
    tarball = root(card)
    path = tarball.with_suffix(".qcow2")

    def build(work: Path) -> None:
        unpacked = unpack(tarball, work / "root")
        make_disk(unpacked, path)

    return once(path, build)


def root(card: Card) -> Path:
    """Returns the root file system of a card, as a tarball."""
    public = key().with_suffix(".pub").read_text()
    parts = BUILD_CARD.read_text(), card, public, host_settings_hash()
    path = CACHE / f"card-{card.suite}-{card.dhcp_client}-{content_hash(*parts)}.tar"

    def build(work: Path) -> None:
        folder = unpack(_plain(card.suite), work / "root")
        copy_host_settings(folder)
        settings = {
            "PACKAGES": card.all_packages,
            "CLIENT": card.dhcp_client,
            "KEY": public.strip(),
        }
        shutil.copy(BUILD_CARD, folder / "build-card")
        in_root(folder, ["/build-card"], settings, archives=_archives(card.suite))
        in_root(folder, ["sh", "-ec", card.script], archives=_archives(card.suite))
        (folder / "build-card").unlink()
        pack(folder, path)

    return once(path, build)


def kernel(suite: str) -> Kernel:
    """Returns the newest kernel that Debian has for virtual machines."""
    path = CACHE / f"kernel-{suite}-{content_hash(_INIT, *MODULES)}"

    def build(work: Path) -> None:
        folder = unpack(_plain(suite), work / "root")
        copy_host_settings(folder)
        # linux-image-cloud-amd64 only depends on the newest one.
        script = """
            apt-get --quiet=2 update
            newest=$(apt-cache depends linux-image-cloud-amd64 |
                sed -n 's/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p' | head -n 1)
            cd /tmp && apt-get --quiet=2 download "$newest" busybox-static
            mkdir /unpacked
            for package in *.deb; do dpkg-deb -x "$package" /unpacked; done
            [ -e /unpacked/lib/modules ] || ln -s usr/lib /unpacked/lib
        """
        in_root(folder, ["sh", "-ec", script])
        unpacked = folder / "unpacked"
        image = next((unpacked / "boot").glob("vmlinuz-*"))
        made = work / "made"
        made.mkdir()
        shutil.copy(image, made / "vmlinuz")
        version = image.name.removeprefix("vmlinuz-")
        make_initrd(unpacked, version, work / "initrd", made / "initrd")
        made.rename(path)

    once(path, build)
    return Kernel(image=path / "vmlinuz", initrd=path / "initrd")


# --- steps that other builds share ---------------------------------------------------

ROOT_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
"""The environment of a command in a root folder."""


def in_root(
    folder: Path,
    command: list[str],
    settings: dict[str, str] | None = None,
    *,
    archives: Path | None = None,
) -> str:
    """Runs a command in a root folder, and returns what it printed.

    Args:
        folder: The root.
        command: Of the root, with its arguments.
        settings: Its environment, beside the usual variables.
        archives: Where apt keeps what it downloads.
    """
    environment = {**ROOT_ENVIRONMENT, **(settings or {})}
    script = 'mount -t proc proc "$0/proc" && '
    if archives:
        script += f'mount --bind "{archives}" "$0/var/cache/apt/archives" && '
    script += 'root=$0 && exec chroot "$root" "$@"'
    inside = ["sh", "-c", script, str(folder), *command]
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return _run([*unshare, *inside], environment)


def unpack(tarball: Path, folder: Path) -> Path:
    """Unpacks a root file system into a new folder, and returns it."""
    folder.mkdir()
    _run(["tar", "-C", str(folder), *_XATTRS, "-xpf", str(tarball)])
    return folder


def pack(folder: Path, tarball: Path) -> None:
    """Packs a root file system, whole or not at all."""
    new = tarball.with_name(tarball.name + ".new")
    _run(["tar", "-C", str(folder), *_XATTRS, "-cf", str(new), "."])
    new.rename(tarball)


def make_disk(folder: Path, path: Path) -> None:
    """Makes a qcow2 disk with one ext4 file system of a folder; mounts nothing."""
    raw, new = path.with_suffix(".raw"), path.with_suffix(".qcow2.new")
    try:
        _run(["mke2fs", "-q", "-t", "ext4", "-d", str(folder), str(raw), DISK_SIZE])
        _run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(new)])
        new.rename(path)
    finally:
        raw.unlink(missing_ok=True)


_XATTRS = ["--xattrs", "--xattrs-include=*"]


# --- how this machine reaches the packages of Debian and Python ----------------------


def copy_host_settings(
    folder: Path, run: Callable[[Path, list[str]], str] | None = None
) -> None:
    """Lets a root reach packages as this machine does: names, authorities, indexes.

    Args:
        folder: The root.
        run: Runs a command in it; ``in_root`` when None.
    """
    shutil.copy("/etc/resolv.conf", folder / "etc" / "resolv.conf")
    for source, target in _host_settings():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    if (folder / "usr/sbin/update-ca-certificates").exists():
        (run or in_root)(folder, ["update-ca-certificates"])


def host_settings_hash() -> str:
    """Returns the hash of what ``copy_host_settings`` copies."""
    return content_hash(*_host_settings())


@cache
def _host_settings() -> tuple[tuple[bytes, str], ...]:
    """What to write, and where in the root."""
    found = [
        (path.read_bytes(), str(path.relative_to("/")))
        for path in sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt"))
    ]
    config = subprocess.check_output(["apt-config", "dump"], text=True)
    proxies = [one for one in config.splitlines() if "::Proxy" in one]
    found.append(("\n".join(proxies).encode(), "etc/apt/apt.conf.d/90host"))
    pip = "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n"
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        if os.environ.get(name, "").startswith("http"):
            option = name.removeprefix("PIP_").lower().replace("_", "-")
            pip += f"{option} = {os.environ[name]}\n"
    found.append((pip.encode(), "etc/pip.conf"))
    return tuple(found)


def mirror() -> str:
    """Returns the Debian mirror that this machine uses."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"]
    for line in _run([*command, "Created-By: Packages"]).splitlines():
        if line.startswith("Debian Debian "):
            return line.split()[2]
    return "http://deb.debian.org/debian"


# --- inside --------------------------------------------------------------------------


def _plain(suite: str) -> Path:
    """The smallest Debian; months old is fine, for apt fetches what is newer."""
    path = CACHE / f"debian-{suite}.tar"

    def build(work: Path) -> None:
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates"]
        command += [f"--cache-dir={_archives(suite)}", suite]
        _run([*command, str(work / "root"), mirror()])
        for package in (work / "root/var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        pack(work / "root", path)

    return once(path, build)


def _archives(suite: str) -> Path:
    """The packages that were downloaded for a suite, for the next build."""
    path = CACHE / f"archives-{suite}"
    (path / "partial").mkdir(parents=True, exist_ok=True)
    return path


_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in {order}; do
    /bin/busybox insmod /modules/$module
done
tries=0
until [ -b /dev/vda ] || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    /bin/busybox usleep 100000
done
/bin/busybox mount -t ext4 -o ro /dev/vda /root || exec /bin/busybox sh
/bin/busybox umount /proc
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


def make_initrd(unpacked: Path, version: str, folder: Path, initrd: Path) -> None:
    """Packs busybox and the modules that the kernel does not have built in."""
    for name in ("bin", "dev", "proc", "root", "modules"):
        (folder / name).mkdir(parents=True)
    busybox = next(unpacked.glob("**/bin/busybox"))
    shutil.copy(busybox, folder / "bin" / "busybox")
    _run(["depmod", "-b", str(unpacked), version])
    order: list[str] = []
    for module in MODULES:
        command = ["modprobe", "-d", str(unpacked), "-S", version, "--show-depends"]
        for line in _run([*command, module]).splitlines():
            action, _, file = line.strip().partition(" ")
            name = Path(file).name.partition(".ko")[0] + ".ko"
            if action == "insmod" and name not in order:
                order.append(name)
                content = Path(file).read_bytes()
                if file.endswith(".xz"):
                    content = lzma.decompress(content)
                (folder / "modules" / name).write_bytes(content)
    (folder / "init").write_text(_INIT.format(order=" ".join(order)))
    (folder / "init").chmod(0o755)
    packed = subprocess.run(
        ["sh", "-c", "find . | cpio --quiet -o -H newc"],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
    )
    initrd.write_bytes(gzip.compress(packed.stdout, 1))


def content_hash(*parts: object) -> str:
    """Returns a short hash of what a thing is made from."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@contextmanager
def _lock(name: str) -> Iterator[None]:
    """Lets one process at a time build a thing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(path: Path, build: Callable[[Path], None]) -> Path:
    """Makes what does not exist yet, in a work folder that is gone afterwards."""
    with _lock(path.name):
        if not path.exists():
            with TemporaryDirectory(dir=CACHE, prefix="build-") as work:
                build(Path(work))
    return path


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs a step of a build at low priority, and returns what it printed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    done = subprocess.run(
        ["nice", "-n", "5", *command],
        check=False,
        env=environment or {**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        text = f"{' '.join(command)[:300]}: exit code {done.returncode}\n"
        raise BuildError(text + done.stdout[-3000:])
    return done.stdout
