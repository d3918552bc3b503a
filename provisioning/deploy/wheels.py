"""Wheels for boards whose package index has none: from where, by whom, and those kept.

PyPI has no wheels of msgspec and psutil for systems of 32 bits. One board of a kind
makes them (``deploy/wheels``): it fetches them from piwheels, or builds them from the
sources that the lock file names. They are kept with their hashes, for all of that kind.
"""

import asyncio
import base64
import hashlib
import io
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from broker.common.atomic import put_aside, replace
from provisioning.deploy import remote
from provisioning.deploy.remote import Output, Shell, Snapshot, diagnose
from provisioning.deploy.report import DeployError, Trouble

PIWHEELS, SOURCE = "piwheels", "source"
"""What ``deploy/wheels`` is told."""
RECIPE = ("wheels", "node.lock", "wheels.lock")
"""What a board needs to make wheels, of the files that are deployed."""
SUMS, ORIGIN = "SHA256SUMS", "ORIGIN"
"""Beside the wheels of a kind: their hashes; who made them and how, for a person."""
MOST_BYTES = 32_000_000
"""Of the wheels that a board hands over; they are 1 to 2 MB."""
ROOM_KB = 600_000
"""What gcc, Python's headers and the build take until they are thrown away."""
MOST_TRIES = 2
"""Attempts to make the wheels of a kind in one deployment, by one board or by two."""

_KIND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_PIN = re.compile(r"^([a-z0-9-]+)==([A-Za-z0-9.]+)", re.MULTILINE)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")


class WheelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a board gets the wheels of its kind.

    Args:
        source: What ``deploy/wheels`` is told there; empty where it makes none.
        text: The same for a person, or why it makes none.
        kept: They are here already.
    """

    kind: str
    source: str = ""
    text: str
    kept: bool = False


class WheelStore:
    """The wheels that boards made, with their hashes: one file for each kind of board.

    Args:
        folder: Where they are kept; made when the first ones come.
        units: The files that are deployed, the lock files among them.
    """

    def __init__(self, folder: Path, units: Path) -> None:
        self._folder = folder
        self._units = units
        self._pins = dict(_PIN.findall((units / "node.lock").read_text("utf-8")))

    def lacking(self, seen: Snapshot) -> str:
        """Returns the kind of a board that its index has no wheels for; empty: it has.

        Raises:
            DeployError: The board's answer cannot be a kind.
        """
        if seen.answers.get("bits") != "32" or (seen.installed and self._has(seen)):
            return ""
        kind = seen.answers.get("kind", "")
        if not _KIND.fullmatch(kind):
            text = (
                f"its system has 32 bits, and its Python says of itself: {kind[:80]!r}"
            )
            raise DeployError(Trouble.WHEELS, text)
        return kind

    def _has(self, seen: Snapshot) -> bool:
        """Whether what the lock file names is installed there."""
        has = {one.lower() for one in seen.answers.get("has", "").split()}
        return has >= {f"{_stem(*pin)}.dist-info" for pin in self._pins.items()}

    def kinds(self) -> tuple[str, ...]:
        """Returns the kinds of boards that wheels are kept for."""
        return tuple(sorted(one.stem for one in self._folder.glob("*.tar")))

    def files(self, kind: str) -> Mapping[str, bytes]:
        """Returns the wheels of a kind and their sums, by name; empty: none are kept.

        Damaged ones are put aside and logged; those of another lock file do not count.

        Raises:
            OSError: They cannot be read.
        """
        path = self._folder / f"{kind}.tar"
        if not path.exists():
            return {}
        try:
            files = _checked(path.read_bytes())
        except ValueError as error:
            put_aside(path, error, "a board of that kind makes them again")
            return {}
        return {} if self._wrong(files) else files

    def keep(self, kind: str, printed: str, origin: str) -> None:
        """Keeps the wheels that a board hands over, with their hashes.

        Args:
            printed: What ``deploy/wheels`` printed there.
            origin: Who made them, and of what.

        Raises:
            DeployError: They are not those that the lock file names.
            OSError: They cannot be written.
        """
        try:
            found = _unpack(base64.b64decode(printed))
            # pip takes whatever lies beside a wheel for a package, the sums do not.
            files = {name: found[name] for name in _wheels(found)}
            if wrong := self._wrong(files):
                raise ValueError(wrong)  # noqa: TRY301  # as the archive's own
        except ValueError as error:
            text = f"the wheels it handed over cannot be used: {error}"
            raise DeployError(Trouble.PACKAGES, text) from error
        files[ORIGIN] = f"{origin}\n".encode()
        files[SUMS] = _sums(files)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(self._folder / f"{kind}.tar", _pack(files))

    def recipe(self) -> bytes:
        """Returns what a board needs to make wheels, as a tar archive of one folder."""
        return _pack({f"recipe/{n}": (self._units / n).read_bytes() for n in RECIPE})

    def _wrong(self, files: Mapping[str, bytes]) -> str:
        """Returns why these are not one wheel of each package of the lock file."""
        stems = sorted("-".join(name.split("-")[:2]).lower() for name in _wheels(files))
        wanted = sorted(_stem(*pin) for pin in self._pins.items())
        if stems == wanted:
            return ""
        return f"wheels of {' '.join(stems) or 'nothing'}, not of {' '.join(wanted)}"


class WheelSupply:
    """Lets one board of a kind make wheels, while the others of that kind wait.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: WheelStore) -> None:
        self._store = store
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tries: Counter[str] = Counter()
        self._makers: dict[str, str] = {}

    async def plan(self, shell: Shell, seen: Snapshot) -> WheelPlan | None:
        """Returns how a board gets its wheels; None where its index has them.

        Raises:
            DeployError: It cannot make any, and no other of its kind does just now.
            OSError: What is kept cannot be read.
        """
        kind = self._store.lacking(seen)
        if not kind:
            return None
        if await asyncio.to_thread(self._store.files, kind):
            text = f"{_HAS}: it gets those that are kept here"
            return WheelPlan(kind=kind, text=text, kept=True)
        output = await shell.run(remote.wheels("ask"), self._store.recipe())
        plan = read(output, seen, kind)
        if not plan.source and kind not in self._makers:
            raise DeployError(Trouble.WHEELS, plan.text)
        return plan

    async def make(
        self, shell: Shell, plan: WheelPlan, who: str, tell: Callable[[str], None]
    ) -> None:
        """Makes sure that the wheels of a board's kind are kept, made by it or another.

        Args:
            tell: Called with what is being waited for.

        Raises:
            DeployError: There are none, and this board made none either.
            OSError: They cannot be kept.
        """
        kind = plan.kind
        if kind in self._makers:
            tell(f"waits for the wheels that {self._makers[kind]} makes")
        async with self._turns[kind]:
            self._makers[kind] = who
            try:
                if not await asyncio.to_thread(self._store.files, kind):
                    await self._try(shell, plan, who, tell)
            finally:
                del self._makers[kind]

    async def _try(
        self, shell: Shell, plan: WheelPlan, who: str, tell: Callable[[str], None]
    ) -> None:
        if not plan.source:
            raise DeployError(Trouble.WHEELS, plan.text)
        if self._tries[plan.kind] >= MOST_TRIES:
            text = "making wheels for boards of its kind failed: see what they said"
            raise DeployError(Trouble.WHEELS, text)
        self._tries[plan.kind] += 1
        tell(plan.text)
        output = await shell.run(remote.wheels(plan.source), self._store.recipe())
        if output.code != 0:
            raise diagnose(output)
        origin = f"made by {who} from {plan.source}"
        await asyncio.to_thread(self._store.keep, plan.kind, output.stdout, origin)


_HAS = "its system has 32 bits, for which PyPI has no wheels"


def read(output: Output, seen: Snapshot, kind: str) -> WheelPlan:
    """Returns how a board can make wheels: by piwheels, else by gcc, its own or apt's.

    Args:
        output: Of ``deploy/wheels ask`` on the board.
        seen: What the board says of itself.

    Raises:
        DeployError: The command failed.
    """
    if output.code != 0:
        raise diagnose(output)
    rows = [line.partition("\t") for line in output.stdout.splitlines()]
    said = {name: text.strip() for name, tab, text in rows if tab}
    for_all = "once, for all boards of its kind"
    if said.get("piwheels") == "yes":
        text = f"{_HAS}: it gets them from piwheels, {for_all}"
        return WheelPlan(kind=kind, source=PIWHEELS, text=text)
    free_kb = seen.answers.get("free_kb", "")
    if free_kb.isdecimal() and int(free_kb) < ROOM_KB:
        no_gcc = (
            f"{ROOM_KB // 1000} MB are needed to build them, "
            f"and {int(free_kb) // 1000} MB are free"
        )
    elif said.get("gcc") == "yes":
        text = f"{_HAS}: it builds them with its gcc, in minutes, {for_all}"
        return WheelPlan(kind=kind, source=SOURCE, text=text)
    elif said.get("apt") == "yes":
        text = (
            f"{_HAS}: it builds them, in minutes, {for_all}; gcc and libpython3-dev "
            "come by apt into a layer over its system, which is thrown away afterwards"
        )
        return WheelPlan(kind=kind, source=SOURCE, text=text)
    else:
        no_gcc = f"apt: {said.get('apt') or 'not there'}"
    no_piwheels = f"piwheels: {said.get('piwheels') or 'not in its pip.conf'}"
    text = (
        f"{_HAS}, and it can make none ({no_piwheels}; {no_gcc}). Bring them: "
        "--wheelhouse; or deploy first to a board of its kind that can"
    )
    return WheelPlan(kind=kind, text=text)


def _stem(name: str, version: str) -> str:
    """What the files of a release begin with."""
    return f"{name.replace('-', '_')}-{version}".lower()


def _wheels(files: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.endswith(".whl"))


def _sums(files: Mapping[str, bytes]) -> bytes:
    """What ``sha256sum`` prints of the wheels."""
    rows = [
        f"{hashlib.sha256(files[one]).hexdigest()}  {one}\n" for one in _wheels(files)
    ]
    return "".join(rows).encode()


def _pack(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o644
            archive.addfile(entry, io.BytesIO(body))
    return content.getvalue()


def _checked(content: bytes) -> dict[str, bytes]:
    """Returns the files of an archive whose sums match.

    Raises:
        ValueError: It is damaged.
    """
    files = _unpack(content)
    if files.get(SUMS) != _sums(files):
        text = "its sums do not match"
        raise ValueError(text)
    return files


def _unpack(content: bytes) -> dict[str, bytes]:
    """Returns the plain files at the top of an archive.

    Raises:
        ValueError: It is not such an archive, or a huge one.
    """
    if len(content) > MOST_BYTES:
        text = f"{len(content)} bytes, more than {MOST_BYTES}"
        raise ValueError(text)
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")
                if not entry.isfile():
                    continue
                if entry.size > len(content):  # a sparse file may say any size
                    text = f"a file of {entry.size} bytes, more than the archive has"
                    raise ValueError(text)
                if not _FILE.fullmatch(name):
                    text = f"a file has the name {name[:80]!r}"
                    raise ValueError(text)
                body = archive.extractfile(entry)
                files[name] = body.read() if body else b""
    except (tarfile.TarError, EOFError) as error:
        text = f"not a complete archive: {error}"
        raise ValueError(text) from error
    return files
