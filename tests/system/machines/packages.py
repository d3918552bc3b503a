"""Debian's packages of any release and architecture, unpacked into a folder.

Nothing is installed or configured and no maintainer script runs: apt-get has lists, a
dpkg status and an archive of its own below the cache, so this machine's apt stays as
it is, and root is not needed. Folders are cached by what was asked for and by how this
module unpacks it; removing the cache starts anew, with the newest packages.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CACHE = Path(__file__).parents[3] / ".cache" / "machines"
NEEDS = ("apt-get", "dpkg-deb", "tar")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ELSEWHERE = "http://deb.debian.org/debian"
DEADLINE_S = 600
MERGED = ("bin", "sbin", "lib", "lib64")
"""Links into ``usr``; the package base-files has them, which no other depends on."""
SKIPPED = ("doc", "man", "locale", "zoneinfo", "info", "lintian", "bug")
"""Folders of ``/usr/share`` that no machine here reads."""
_CHOSEN = re.compile(r"Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\w+)\]\)")


class PackagesError(Exception):
    """Packages cannot be had; the text has the end of what apt-get said."""


@dataclass(frozen=True)
class Package:
    """One that apt-get chose."""

    name: str
    version: str
    architecture: str

    @property
    def file(self) -> str:
        """What apt-get calls its file: a colon is written as %3a."""
        version = self.version.replace(":", "%3a")
        return f"{self.name}_{version}_{self.architecture}.deb"


def missing() -> str:
    """Returns what this machine lacks for it, in words; empty when nothing."""
    lacking = [program for program in NEEDS if shutil.which(program) is None]
    if lacking:
        return f"{', '.join(lacking)} is missing: this needs Debian or its kin"
    if not KEYRING.exists():
        return f"{KEYRING} is missing: apt-get install debian-archive-keyring"
    return ""


class Packages:
    """The packages of one release for one architecture.

    Args:
        suite: Code name of the release.
        architecture: As dpkg names it, for example ``arm64``.
        cache: Where everything is kept.
    """

    def __init__(self, suite: str, architecture: str, cache: Path = CACHE) -> None:
        self._suite = suite
        self._architecture = architecture
        self._cache = cache
        self._apt = cache / f"apt-{suite}-{architecture}"

    def unpacked(
        self,
        *names: str,
        matching: str = "*",
        files: Sequence[str] = (),
    ) -> Path:
        """Returns a folder with packages and all they depend on, unpacked.

        The folder is the cache's: copy what is to be changed.

        Args:
            names: Packages, as for ``apt-get install``.
            matching: Pattern of the packages that are unpacked, of all those chosen.
            files: Patterns of the files wanted, each as tar names it (``./boot/*``);
                none for all.

        Raises:
            PackagesError: They cannot be had.
        """
        asked = repr((self._suite, self._architecture, names, matching, files))
        return cached(
            self._cache,
            f"packages-{self._suite}-{self._architecture}-{names[0]}",
            asked.encode() + Path(__file__).read_bytes(),
            lambda into: self._unpack(self.chosen(*names), matching, files, into),
        )

    def chosen(self, *names: str) -> list[Package]:
        """Returns what apt-get would install for these on an empty machine."""
        said = self._get("-s", "--no-install-recommends", "install", *names)
        lines = (_CHOSEN.match(line) for line in said.splitlines())
        return [Package(*line.groups()) for line in lines if line]

    def _unpack(
        self,
        packages: Sequence[Package],
        matching: str,
        files: Sequence[str],
        into: Path,
    ) -> None:
        wanted = [one for one in packages if fnmatch(one.name, matching)]
        archive = self._download(wanted)
        for name in MERGED:
            (into / "usr" / name).mkdir(parents=True)
            (into / name).symlink_to(f"usr/{name}")
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            jobs = [
                threads.submit(_extract, archive / package.file, into, files)
                for package in wanted
            ]
        for job in jobs:
            job.result()

    def _download(self, packages: Sequence[Package]) -> Path:
        archive = self._apt / "archives"
        absent = [one for one in packages if not (archive / one.file).exists()]
        if absent:
            with tempfile.TemporaryDirectory(dir=self._cache) as folder:
                words = [f"{one.name}={one.version}" for one in absent]
                self._get("-qq", "download", *words, folder=Path(folder))
                for one in absent:
                    (Path(folder) / one.file).replace(archive / one.file)
        return archive

    def _get(self, *words: str, folder: Path | None = None) -> str:
        """Runs apt-get; lists that are too old for a download are fetched again."""
        fresh = self._prepare()
        try:
            return self._apt_get(words, folder)
        except PackagesError:
            if fresh:
                raise
            self._apt_get(("-q", "update"))
            return self._apt_get(words, folder)

    def _prepare(self) -> bool:
        """Fetches the lists if there are none; returns whether it did."""
        with locked(self._apt):
            ready = self._apt / "ready"
            if ready.exists():
                return False
            for folder in ("lists/partial", "archives/partial", "etc"):
                (self._apt / folder).mkdir(parents=True, exist_ok=True)
            (self._apt / "status").touch()
            source = f"deb [signed-by={KEYRING}] {_mirror()} {self._suite} main\n"
            (self._apt / "sources.list").write_text(source)
            self._apt_get(("-q", "update"))
            ready.touch()
            return True

    def _apt_get(self, words: Sequence[str], folder: Path | None = None) -> str:
        settings = {
            "APT::Architecture": self._architecture,
            "APT::Architectures": self._architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::State": self._apt,
            "Dir::State::status": self._apt / "status",
            "Dir::Cache": self._apt,
            "Dir::Etc::SourceList": self._apt / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
        }
        options = [f"-o{name}={value}" for name, value in settings.items()]
        return _run("apt-get", *options, *words, folder=folder)


def cached(
    cache: Path, name: str, inputs: bytes, build: Callable[[Path], None]
) -> Path:
    """Returns a folder that is built once for its inputs, by one process at a time.

    Args:
        cache: Where folders are kept.
        name: What it is, for whoever looks into the cache.
        inputs: All that the result depends on.
        build: Fills an empty folder.
    """
    folder = cache / f"{name}-{hashlib.sha256(inputs).hexdigest()[:12]}"
    with locked(folder):
        if not folder.exists():
            new = Path(f"{folder}.new")
            shutil.rmtree(new, ignore_errors=True)  # of one that was killed
            new.mkdir()
            build(new)
            new.rename(folder)
    return folder


def native() -> str:
    """Returns the architecture of this machine, as dpkg names it."""
    return _run("dpkg", "--print-architecture").strip()


def program(folder: Path, name: str) -> tuple[str, ...]:
    """Returns the words that start a program of an unpacked folder.

    It runs with the loader and the libraries of its own folder, which may be those of
    another release than this machine's; the architecture must be this machine's.

    Args:
        folder: As ``Packages.unpacked`` returns it.
        name: Of a program in its ``/usr/bin``.
    """
    [loader] = [*folder.glob("lib64/ld-*.so.*"), *folder.glob("lib/ld-*.so.*")][:1]
    libraries = ":".join(str(path) for path in folder.glob("usr/lib/*-linux-*"))
    return (str(loader), "--library-path", libraries, str(folder / "usr/bin" / name))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes from what lies at a path, by a lock file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _extract(package: Path, into: Path, files: Sequence[str]) -> None:
    """Unpacks the files of one package, of which a kernel has more than is wanted."""
    skipped = [f"--exclude=./usr/share/{name}" for name in SKIPPED]
    some = ("--wildcards", *files) if files else ()
    words = (
        "tar",
        "-x",
        "-C",
        str(into),
        "--keep-directory-symlink",
        "--no-same-owner",
    )
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as content:
        done = subprocess.run(
            [*words, *skipped, *some],
            stdin=content.stdout,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    if done.returncode or content.returncode:
        text = f"{package}: cannot be unpacked: {done.stderr.strip()[-500:]}"
        raise PackagesError(text)


def _mirror() -> str:
    """Returns the Debian mirror that this machine itself uses."""
    form = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    said = _run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    rows = (line.split() for line in said.splitlines())
    return next((uri for *who, uri in rows if who == ["Debian"] * 2), ELSEWHERE)


def _run(*words: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip()[-1000:]
        text = f"{' '.join(w for w in words if not w.startswith('-o'))}: {last}"
        raise PackagesError(text)
    return done.stdout
