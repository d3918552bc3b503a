"""Why a board did not get its agent, each reason as itself; pure."""

import enum

import msgspec

from provisioning.common.errors import ProvisioningError

SAID_LINES = 3
"""How much of what a program said goes into an error."""


class Trouble(enum.StrEnum):
    """Why a board did not get its agent, in one word."""

    UNREACHABLE = "unreachable"
    LOST = "connection-lost"
    """It broke off in the middle."""
    TOO_SLOW = "too-slow"
    """The deadline passed."""
    PACKAGES = "packages"
    """pip could not get or install them."""
    WHEELS = "no-wheels"
    """No package index has them for its system, and it can make none just now."""
    INSTALLER = "installer"
    """The installer failed in another way."""
    NOT_JOINED = "not-joined"
    """The broker did not take it in."""
    SILENT = "silent"
    """Installed, but the agent did not speak."""
    HOST_KEY = "host-key-changed"
    PERMISSION = "permission-denied"
    SUDO = "sudo-asks-password"
    PYTHON = "no-python"
    VENV = "no-python3-venv"
    DISK_FULL = "disk-full"
    OTHER_BOARD = "other-board"
    """Not the board that was found at this place, or one that was had already."""
    MASTER = "masters-own"
    """The machine the master runs on."""

    @property
    def fatal(self) -> bool:
        """Whether trying again is of no use until a person did something."""
        return self not in _PASSING


_PASSING = frozenset(
    {
        Trouble.UNREACHABLE,
        Trouble.LOST,
        Trouble.TOO_SLOW,
        Trouble.PACKAGES,
        Trouble.WHEELS,
        Trouble.INSTALLER,
        Trouble.NOT_JOINED,
        Trouble.SILENT,
    }
)


class DeployError(ProvisioningError):
    """A board did not get its agent; the text says why and what to do.

    Args:
        trouble: In one word.
        text: For a person.
        starting: The board is up, and what was asked for may only not have started.
    """

    def __init__(self, trouble: Trouble, text: str, *, starting: bool = False) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.starting = starting


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a command on the board said.

    Args:
        code: Exit code; None where the connection ended first.
        stdout: Text.
        stderr: Likewise.
    """

    code: int | None
    stdout: str = ""
    stderr: str = ""


EXIT_PACKAGES = 4
EXIT_VENV = 5
EXIT_MASTER = 6
"""Of ``deploy/install`` and ``deploy/wheels``."""

_BY_CODE = {
    None: Trouble.LOST,
    EXIT_PACKAGES: Trouble.PACKAGES,
    EXIT_VENV: Trouble.VENV,
    EXIT_MASTER: Trouble.MASTER,
}
_FULL = "No space left on device"
"""``strerror(ENOSPC)``, as sh, tar, install and pip all print it."""


def diagnose(output: Output) -> DeployError:
    """Return what it means that ``deploy/install`` or ``deploy/wheels`` failed.

    Args:
        output: What it said.
    """
    said = last_lines(output.stderr) or last_lines(output.stdout)
    if _FULL in output.stderr:
        text = f"its disk is full ({said}): make room, see `df -h` there"
        return DeployError(Trouble.DISK_FULL, text)
    trouble = _BY_CODE.get(output.code, Trouble.INSTALLER)
    if trouble is Trouble.LOST:
        text = "the connection ended while the installer ran"
        return DeployError(trouble, text)
    return DeployError(trouble, said or f"the installer ended with {output.code}")


def last_lines(text: str, count: int = SAID_LINES) -> str:
    """Return the last lines that say anything, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:])
