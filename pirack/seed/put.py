"""Puts files on a card's boot partition, or in a folder; a person's are kept."""

import enum
import stat
from collections.abc import Mapping
from pathlib import Path

from broker.common.atomic import replace
from broker.common.errors import ConfigError
from pirack.seed.archive import ARCHIVE
from pirack.seed.texts import FIRSTRUN, HOOK, META_DATA, OURS, USER_DATA, hooked

CMDLINE = "cmdline.txt"
"""A boot partition of a Raspberry Pi has it."""
BEFORE = ".before"
_HEAD_BYTES = 200


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


def system(to: Path) -> System:
    """Returns what a card has on it, by its boot partition; a folder may have any.

    Every image with cloud-init brings a ``user-data`` as an example.
    """
    if not (to / CMDLINE).exists():
        return System.ANY
    has_cloud_init = (to / USER_DATA).exists() or (to / META_DATA).exists()
    return System.CLOUD_INIT if has_cloud_init else System.BOOKWORM


def check(to: Path, which: System, *, force: bool) -> None:
    """Sees that a card can be written, before anything is made for it.

    Args:
        to: Its boot partition, or a folder.
        which: What reads it there.
        force: What is there and not ours may be replaced.

    Raises:
        ConfigError: It is no folder, something is there that is not ours, or the
            first boot is taken.
        OSError: It cannot be read.
    """
    if not to.is_dir():
        text = f"{to}: is no folder; mount the card's boot partition, or make it"
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


def put(files: Mapping[str, bytes], to: Path, which: System) -> list[str]:
    """Writes a card that was checked; returns what a person should know.

    Args:
        files: Name to content; of the texts only what is read there is taken.
        to: Its boot partition, or a folder.
        which: What reads it there.

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
    """Takes one board's password off a card that is to be anybody's."""
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
        "the first boot whoever has the card can read it"
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
