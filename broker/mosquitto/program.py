"""Finds Mosquitto: the system's, or the one unpacked beside the project."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from broker.common.errors import BrokerError

VARIABLE = "PIRACK_MOSQUITTO"
"""Path of a ``mosquitto`` program to use before any other."""
TREE = ".mosquitto"
"""Where ``scripts/get-mosquitto`` unpacks the Debian packages without root."""
PLUGIN = "mosquitto_dynamic_security.so"
HINT = (
    "run scripts/get-mosquitto (it needs no root), or: sudo apt-get install mosquitto, "
    f"or set ${VARIABLE} to the path of a mosquitto program"
)
_PROJECT = Path(__file__).parents[2]
_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
"""``/usr/sbin`` is not on the PATH of a Debian user."""
_VERSION_TIMEOUT_S = 5.0


class Mosquitto(msgspec.Struct, frozen=True, kw_only=True):
    """An installed Mosquitto.

    Args:
        program: Its path.
        plugin: Path of the dynamic-security plugin.
        libraries: Directories the loader must search too; empty for the system's own.
    """

    program: Path
    plugin: Path
    libraries: tuple[Path, ...] = ()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Returns an environment in which the program finds its libraries."""
        if not self.libraries:
            return dict(base)
        paths = [str(path) for path in self.libraries]
        if base.get("LD_LIBRARY_PATH"):
            paths.append(base["LD_LIBRARY_PATH"])
        return {**base, "LD_LIBRARY_PATH": os.pathsep.join(paths)}

    def version(self) -> str:
        """Returns its version, for example ``2.0.11``.

        Raises:
            BrokerError: It does not run.
        """
        try:
            said = subprocess.run(  # noqa: S603  # the program that was found, by path
                [self.program, "-h"],
                env=self.environment(os.environ),
                capture_output=True,
                text=True,
                timeout=_VERSION_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            text = f"{self.program} does not run: {error}; {HINT}"
            raise BrokerError(text) from error
        first = said.stdout.partition("\n")[0]
        if not first.startswith("mosquitto version"):
            answer = (said.stderr or said.stdout).strip()[:200] or "nothing"
            text = (
                f"{self.program} does not run, or is not Mosquitto: asked for its "
                f"version, it said {answer}; {HINT}"
            )
            raise BrokerError(text)
        return first.rpartition(" ")[2]


def find(
    environment: Mapping[str, str] = os.environ, *, project: Path = _PROJECT
) -> Mosquitto:
    """Returns the Mosquitto to run.

    Looks at ``$PIRACK_MOSQUITTO``, the PATH, the system's directories, and at
    ``.mosquitto`` in the working directory and in the project.

    Args:
        environment: Of the process.
        project: Where the project's ``.mosquitto`` is.

    Raises:
        BrokerError: There is none, it lacks the plugin, or what the variable names is
            something else; says what to do.
    """
    named = environment.get(VARIABLE)
    if named:
        program = Path(named)
        if not program.is_file():
            text = (
                f"${VARIABLE} is {named!r}, which is not a file; give a program's path"
            )
            raise BrokerError(text)
        found = _complete(program)
        found.version()  # the variable may name another program
        return found
    for program in _candidates(environment, project):
        if program.is_file() and os.access(program, os.X_OK):
            return _complete(program)
    text = f"no Mosquitto is installed; {HINT}"
    raise BrokerError(text)


def _candidates(environment: Mapping[str, str], project: Path) -> Iterator[Path]:
    on_path = shutil.which("mosquitto", path=environment.get("PATH", ""))
    if on_path:
        yield Path(on_path)
    yield from (Path(directory) / "mosquitto" for directory in _SYSTEM)
    for base in (Path.cwd(), project):
        yield base / TREE / "usr" / "sbin" / "mosquitto"


def _complete(program: Path) -> Mosquitto:
    """Returns a program with what belongs to it below the same root."""
    root = _root(program)
    plugins = sorted(
        path
        for pattern in ("lib*/*", "lib*", "local/lib*", "local/lib*/*")
        for path in root.glob(f"usr/{pattern}/{PLUGIN}")
    ) or sorted(program.parent.parent.glob(f"lib*/**/{PLUGIN}"))
    if not plugins:
        text = f"{program} is there, but not its plugin {PLUGIN}; {HINT}"
        raise BrokerError(text)
    libraries: tuple[Path, ...] = ()
    if root != Path("/"):
        found = {path.parent for path in root.glob("**/*.so*")}
        libraries = tuple(sorted(found))
    return Mosquitto(program=program, plugin=plugins[0], libraries=libraries)


def _root(program: Path) -> Path:
    """Returns the root of the tree that holds ``usr/sbin/mosquitto``."""
    parts = program.absolute().parts
    if "usr" in parts:
        return Path(*parts[: parts.index("usr")])
    return Path("/")
