"""What runs on a board, as lines of ``sh``, and what its answers mean; pure.

The password is in the package, which goes in as standard input: it is in files for us
alone, deleted afterwards, and never in an argument or in a log.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from provisioning.deploy.report import DeployError, Trouble

SAID_LINES = 3
"""Lines of a program's output that go into an error."""
_RUN = r"""
umask 077
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tar -xC "$place" || exit 1
as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
$as_root sh "$place"/*/PROGRAM
"""
INSTALL = _RUN.replace("PROGRAM", "install")


def wheels(what: str) -> str:
    """Returns what runs ``deploy/wheels`` of the archive, with an argument."""
    return _RUN.replace("PROGRAM", f"wheels {what}")


UNCHANGED = "install: nothing to change"
"""Printed by ``deploy/install`` when all was there and the service runs."""

JOURNAL_LINES = 5
JOURNAL = rf"""
as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
$as_root journalctl --unit pirack-agent --lines {JOURNAL_LINES} --no-pager --output cat
"""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a command on the board.

    Args:
        code: Exit code; None where the connection ended first.
    """

    code: int | None
    stdout: str = ""
    stderr: str = ""


class Shell(Protocol):
    """An open connection to one board."""

    async def run(self, command: str, feed: bytes = b"") -> Output:
        """Runs a command line there and returns its output.

        Args:
            command: For ``sh``; never holds a secret: other users see it there.

        Raises:
            DeployError: The connection ended.
        """


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
    """Returns why ``deploy/install`` or ``deploy/wheels`` failed."""
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
    """Returns the last lines that are not empty, as one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-count:])


# --- which board it is ----------------------------------------------------------------

ROOM_KB = 80_000
"""A virtual environment with the agent takes 13 MB, 45 where ensurepip made it; updates
unpack beside it."""
PYTHON = (3, 11)

ASK = r"""
tell() { printf '%s\t%s\n' "$1" "$2"; }
for file in /proc/device-tree/serial-number /proc/device-tree/model \
    /sys/firmware/devicetree/base/serial-number /sys/firmware/devicetree/base/model \
    /sys/class/net/*/address /sys/class/net/*/type /opt/pirack/.installed; do
    [ -r "$file" ] && tell "$file" "$(tr -d '\000\n' <"$file" 2>/dev/null)"
done
for file in /sys/class/net/*/device /sys/class/net/*/wireless \
    /sys/class/net/*/phy80211; do
    [ -e "$file" ] && tell "$file" ''
done
tell python "$(python3 -c 'import sys; print(*sys.version_info[:2])' 2>&1 | tail -n 1)"
tell bits "$(python3 -c 'import struct; print(8 * struct.calcsize("P"))' 2>&1)"
tell kind "$(python3 -c 'import os, platform, sysconfig
machine = platform.machine().replace("aarch64", "armv7l").replace("armv8l", "armv7l")
libc = os.confstr("CS_GNU_LIBC_VERSION").replace(" ", "")
print(sysconfig.get_config_var("SOABI"), machine, libc, sep="-")' 2>&1 | tail -n 1)"
own=python$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
tell has "$(cd "/opt/pirack/lib/$own/site-packages" 2>/dev/null && echo *.dist-info)"
tell venv "$(python3 -c 'import ensurepip, venv; print("yes")' 2>&1 | tail -n 1)"
root=
if [ "$(id -u)" -ne 0 ]; then
    root=$(sudo -n sh -c : 2>&1) && root= || root=${root:-refused}
fi
tell root "$(printf '%s\n' "$root" | tail -n 1)"
place=/opt/pirack
[ -e "$place" ] || place=/opt
[ -e "$place" ] || place=/
tell free_kb "$(df -Pk "$place" | awk 'NR == 2 { print $4 }')"
[ -e /etc/pirack/secrets ] && tell master yes
exit 0
"""
"""Reads and changes nothing; each line is a name, a tabulator and what was found."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a board says of itself.

    Args:
        files: Files of ``/proc`` and ``/sys`` that say who it is, by their path.
        answers: The other answers, by name.
    """

    files: Mapping[str, str]
    answers: Mapping[str, str]

    @property
    def macs(self) -> frozenset[str]:
        """The hardware addresses of its interfaces."""
        return frozenset(
            text.lower()
            for path, text in self.files.items()
            if path.startswith("/sys/class/net/") and path.endswith("/address")
        )

    @property
    def installed(self) -> str:
        """Digest of the package it has; empty where it has none of ours."""
        return self.files.get("/opt/pirack/.installed", "")


def read_snapshot(output: Output) -> Snapshot:
    """Returns what the answers to ``ASK`` say.

    Raises:
        DeployError: There are none.
    """
    rows = [line.partition("\t") for line in output.stdout.splitlines()]
    found = {name: text.strip() for name, tab, text in rows if tab}
    if output.code is None:
        text = "the connection ended while it was asked who it is"
        raise DeployError(Trouble.LOST, text)
    if output.code != 0 or "python" not in found:
        said = last_lines(output.stderr) or last_lines(output.stdout) or "nothing"
        text = f"its shell did not run a plain sh script; it said: {said}"
        raise DeployError(Trouble.INSTALLER, text)
    return Snapshot(
        files={name: text for name, text in found.items() if name.startswith("/")},
        answers={n: text for n, text in found.items() if not n.startswith("/")},
    )


def require(snapshot: Snapshot, *, mac: str, user: str) -> None:
    """Checks that the agent can be installed, before anything is made for the board.

    Args:
        snapshot: What the board says of itself.
        mac: Hardware address it must have; empty: any.
        user: Our user there, for the advice.

    Raises:
        DeployError: It cannot; the text says what to do.
    """
    if mac and mac.lower() not in snapshot.macs:
        there = ", ".join(sorted(snapshot.macs)) or "none"
        text = (
            f"another board is here: it has {there}, and the install run found {mac}. "
            "Scan its stack again, or name the address instead of the slot"
        )
        raise DeployError(Trouble.OTHER_BOARD, text)
    answers = snapshot.answers
    if answers.get("master"):
        text = "this is the master's Pi, whose own agent `pirack init` set up"
        raise DeployError(Trouble.MASTER, text)
    if answers.get("root"):
        text = (
            f"sudo wants a password ({answers['root']}); on the board do: echo "
            f"'{user} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/010_{user}"
        )
        raise DeployError(Trouble.SUDO, text)
    _require_python(answers, has_one=bool(snapshot.installed))
    free_kb = answers.get("free_kb", "")
    if free_kb.isdecimal() and int(free_kb) < ROOM_KB and not snapshot.installed:
        text = (
            f"its disk is full: {int(free_kb) // 1000} MB are free for /opt/pirack and "
            f"{ROOM_KB // 1000} MB are needed; make room, see `df -h` there"
        )
        raise DeployError(Trouble.DISK_FULL, text)


def _require_python(answers: Mapping[str, str], *, has_one: bool) -> None:
    words = answers["python"].split()
    version = tuple(int(word) for word in words if word.isdecimal())
    if version < PYTHON:
        text = (
            f"Python 3.11 or newer is needed (Raspberry Pi OS 12); there: "
            f"{'.'.join(words) if version else answers['python'] or 'none'}"
        )
        raise DeployError(Trouble.PYTHON, text)
    if answers.get("venv") != "yes" and not has_one:
        text = "python3-venv is missing; on the board do: sudo apt-get install "
        raise DeployError(Trouble.VENV, text + "python3-venv")
