"""A card whose board joins by itself: what is on it, and writing it.

cloud-init and Raspberry Pi OS 12 read texts at the first boot, which hold no secret.
The one secret thing is the archive beside them: what a board needs to be a node.
"""

import enum
import io
import json
import re
import shlex
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from broker.common.atomic import replace
from broker.common.errors import ConfigError
from pirack import distribution
from pirack.bundle import BoardId
from pirack.deploy_packer import add_wheelhouse

ARCHIVE = "pirack-seed.tar"
CMDLINE = "cmdline.txt"
"""A boot partition of a Raspberry Pi has it."""
BEFORE = ".before"
USER_DATA, META_DATA, FIRSTRUN = "user-data", "meta-data", "firstrun.sh"
OURS = "Written by `pirack seed`"
"""Stands in the first lines of each: what has it may be replaced."""
HOOK = (
    "systemd.run=/boot/firmware/firstrun.sh",
    "systemd.run_success_action=reboot",
    "systemd.unit=kernel-command-line.target",
)
"""Words of the kernel's command line that run ``firstrun.sh`` (systemd-run-generator),
as Raspberry Pi Imager writes them for Bookworm."""

_UNITS = ("enrol", "pirack-enrol.service")
_HEAD_BYTES = 200
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [ -~]*)?")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a card is told.

    Args:
        user: Account by which the master signs in.
        key: The master's line for ``authorized_keys``.
        instance: Names this preparation: another one makes cloud-init run again.

    Raises:
        ConfigError: That is not a user, or not a key.
    """

    user: str
    key: str
    instance: str
    script: str

    def __post_init__(self) -> None:
        """Refuses what could mean something else to a shell or to sudo."""
        if _USER.fullmatch(self.user) is None or self.user == "root":
            text = (
                f"user {self.user[:64]!r} is not the name of an account, for example pi"
            )
            raise ConfigError(text)
        if _KEY.fullmatch(self.key) is None:
            text = (
                f"{self.key[:40]!r}… is not a public SSH key; one looks like "
                "`ssh-ed25519 AAAA… name`, in one line, in a file that ends in .pub"
            )
            raise ConfigError(text)


def user_data(card: Card) -> str:
    """Returns ``user-data`` of cloud-init (Raspberry Pi OS 13, Ubuntu)."""
    script = "".join(
        f"      {line}\n" if line else "\n" for line in card.script.splitlines()
    )
    return f"""\
#cloud-config
# {OURS}. No secret is in here.

# A board is known by its serial, and the rack gives it its name.
preserve_hostname: true
ssh_pwauth: false

write_files:
  - path: /var/lib/pirack-first-boot
    owner: root:root
    permissions: '0700'
    content: |
{script}
runcmd:
  - [sh, /var/lib/pirack-first-boot, {json.dumps(card.user)}, {json.dumps(card.key)}]

# A new machine-id is made at the start; only if all went well.
power_state:
  mode: reboot
  delay: now
  message: the first boot is over
  timeout: 60
  condition: test -e /run/pirack-first-boot
"""


def meta_data(card: Card) -> str:
    """Returns ``meta-data`` of cloud-init."""
    return f"""\
# {OURS}. Another instance-id makes cloud-init run once more.
dsmode: local
instance-id: {card.instance}
"""


def firstrun(card: Card) -> str:
    """Returns ``firstrun.sh`` of Raspberry Pi OS 12 (Bookworm).

    Even if it fails, the card boots as usual afterwards.
    """
    dotted = (word.replace(".", r"\.") for word in HOOK)
    removed = "; ".join(f"s| {word}||" for word in dotted)
    return f"""\
#!/bin/sh
# {OURS}. No secret is in here.
# What the kernel's command line runs at the first boot; what it said is beside it then.
boot=/boot/firmware
cat >/run/first-boot.sh <<'END_OF_FIRST_BOOT'
{card.script}END_OF_FIRST_BOOT
sh /run/first-boot.sh {shlex.quote(card.user)} {shlex.quote(card.key)} \\
    >"$boot/pirack-seed.log" 2>&1 ||
    echo "first boot failed: exit code $?" >>"$boot/pirack-seed.log"
rm -f "$boot/firstrun.sh"
sed -i '{removed}' "$boot/cmdline.txt"
exit 0
"""


def texts(card: Card) -> dict[str, bytes]:
    """Returns all texts, by their names."""
    return {
        USER_DATA: user_data(card).encode(),
        META_DATA: meta_data(card).encode(),
        FIRSTRUN: firstrun(card).encode(),
    }


def hooked(cmdline: str) -> str:
    """Returns the kernel's command line with what runs ``firstrun.sh``.

    Raises:
        ConfigError: It runs something else at the first boot.
    """
    words = cmdline.split()
    others = [word for word in words if word.startswith("systemd.run=")]
    if HOOK[0] in others:
        return cmdline
    if others:
        text = (
            f"cmdline.txt runs something of its own at the first boot ({others[0]}), "
            "as Raspberry Pi Imager writes it: start the card once before, or write "
            "its image without customisation"
        )
        raise ConfigError(text)
    return " ".join((*words, *HOOK)) + "\n"


def pack(
    bundle: Path,
    board: BoardId,
    *,
    wheel: tuple[str, bytes] | None = None,
    wheelhouse: Path | None = None,
) -> bytes:
    """Returns the archive that ``first-boot`` unpacks.

    Args:
        bundle: As ``pirack node add`` writes it; holds the board's password.
        wheel: File name and content of our package; None where the bundle has it.
        wheelhouse: Wheels of what the agent needs, for a board without a package
            index; None where it has one.

    Raises:
        ConfigError: This installation lacks the units.
        OSError: A file cannot be read.
    """
    content = io.BytesIO()
    seed = distribution.deploy_directory() / "seed"
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(bundle, "bundle", filter=_of_root)
        for name in _UNITS:
            archive.add(seed / name, name, filter=_of_root)
        if wheelhouse is not None:
            add_wheelhouse(archive, wheelhouse, "bundle")
        if wheel is not None:
            _add(archive, f"bundle/{wheel[0]}", wheel[1])
        # An id that the board must be told is not the one its serial gives it.
        _add(archive, "board", b"" if board.told else board.node.encode())
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leaves out who we are here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


class System(enum.StrEnum):
    """What reads the seed on the card."""

    CLOUD_INIT = "cloud-init"
    """Raspberry Pi OS 13 and newer, Ubuntu."""
    BOOKWORM = "bookworm"
    """Raspberry Pi OS 12."""
    ANY = "any"
    """A folder: all of it, to be copied by hand."""

    @property
    def files(self) -> tuple[str, ...]:
        """The texts it reads."""
        cloud, script = (USER_DATA, META_DATA), (FIRSTRUN,)
        by_system = {self.CLOUD_INIT: cloud, self.BOOKWORM: script}
        return by_system.get(self, (*cloud, *script))


def system_of(to: Path) -> System:
    """Returns what a card has on it, by its boot partition; a folder may have any.

    Every image with cloud-init brings a ``user-data`` as an example.
    """
    if not (to / CMDLINE).exists():
        return System.ANY
    has_cloud_init = (to / USER_DATA).exists() or (to / META_DATA).exists()
    return System.CLOUD_INIT if has_cloud_init else System.BOOKWORM


def check(to: Path, which: System, *, force: bool) -> None:
    """Checks that a card can be written, before anything is made for it.

    Args:
        to: Its boot partition, or a folder.
        force: What is there and not ours may be replaced.

    Raises:
        ConfigError: It is not a folder, something is there that is not ours, or the
            first boot is taken.
        OSError: It cannot be read.
    """
    if not to.is_dir():
        text = f"{to}: is not a folder; mount the card's boot partition, or make it"
        raise ConfigError(text)
    for name in which.files:
        if (to / name).is_symlink():
            # Kept as *.before, readable for all, it might be root's own secret.
            text = f"{to / name}: is a link, which no card has; remove it"
            raise ConfigError(text)
    foreign = _foreign(to, which)
    if foreign and not force:
        text = (
            f"{to}: {' and '.join(foreign)} is there already, perhaps the image's "
            "example, perhaps yours; --force puts ours in its place and keeps it as "
            f"{foreign[0]}{BEFORE}"
        )
        raise ConfigError(text)
    _hook(to, which)


def write(files: Mapping[str, bytes], to: Path, which: System) -> list[str]:
    """Writes a card that was checked; returns what a person should know.

    Args:
        files: Name to content; of the texts only what is read there is taken.
        to: Its boot partition, or a folder.

    Raises:
        ConfigError: The first boot is taken.
        OSError: It cannot be written.
    """
    wanted = {n: c for n, c in files.items() if n in {ARCHIVE, *which.files}}
    kept = _foreign(to, which)
    for name in kept:
        replace(to / f"{name}{BEFORE}", (to / name).read_bytes(), mode=0o644)
    for name, content in (wanted | _hook(to, which)).items():
        replace(to / name, content, mode=0o600 if name == ARCHIVE else 0o644)
    notes = [f"kept {to / name}{BEFORE}" for name in kept]
    notes += _for_nobody(to / ARCHIVE) if ARCHIVE not in wanted else []
    return [*notes, *_warnings(to, wanted), *_advice(to, which)]


def _for_nobody(archive: Path) -> list[str]:
    """Removes one board's password from a card that any board may use."""
    if not archive.exists():
        return []
    archive.unlink()
    return [f"removed {archive}: it held one board's password"]


def _hook(to: Path, which: System) -> dict[str, bytes]:
    """Returns the kernel's command line as it must be; nothing where it need not."""
    if FIRSTRUN not in which.files or not (to / CMDLINE).exists():
        return {}
    return {CMDLINE: hooked((to / CMDLINE).read_text(encoding="utf-8")).encode()}


def _foreign(to: Path, which: System) -> list[str]:
    """Returns the names of what is there and not from us."""
    there = [name for name in which.files if (to / name).exists()]
    return [name for name in there if not _ours(to / name)]


def _ours(path: Path) -> bool:
    with path.open("rb") as file:
        return OURS.encode() in file.read(_HEAD_BYTES)


def _warnings(to: Path, files: Mapping[str, bytes]) -> list[str]:
    if ARCHIVE not in files:
        return []
    others = (to / ARCHIVE).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    text = (
        f"{to / ARCHIVE} holds a password, and this file system has no modes: until "
        "the first boot anyone who has the card can read it"
    )
    return [text] if others else []


def _advice(to: Path, which: System) -> list[str]:
    if FIRSTRUN not in which.files or (to / CMDLINE).exists():
        return []
    text = (
        f"Raspberry Pi OS 12 runs {FIRSTRUN} when its {CMDLINE} ends with, in the same "
        f"line: {' '.join(HOOK)}"
    )
    return [text]
