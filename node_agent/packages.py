"""Updates this machine's packages, and reads back what became of it.

``python3 -m node_agent.packages upgrade`` has systemd start ``pirack-update.service``,
in which apt runs as root and outlives this program and the agent: a restart of either,
which an update may itself cause, must not cut dpkg off. Here, without privileges, its
journal is shown as it grows; afterwards dpkg is asked which versions are others now,
and apt what it would still install. Exit code 0 says that apt ended well and nothing
is left.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from broker.contract import update_report

UNITS = {
    "upgrade": "pirack-update.service",
    "lists": "pirack-update-lists.service",
}
JOURNAL_S = 0.5
"""How far the journal may be behind."""
REBOOT_REQUIRED = Path("/run/reboot-required")
"""Left by packages that want a reboot, where something is installed to leave it."""

_INSTALLS = "Inst "
_KEPT = 20
"""How many changes are listed; the tail of the output is what arrives."""


def start_command(work: str, *, sudo: bool) -> tuple[str, ...]:
    """Returns what starts a unit and waits for its end.

    Args:
        sudo: Asks sudo for it instead of polkit.
    """
    prefix = ("sudo", "-n") if sudo else ()
    return (*prefix, "systemctl", "--no-ask-password", "start", UNITS[work])


def versions(listing: str) -> dict[str, str]:
    """Reads ``package version`` lines of dpkg-query."""
    pairs = (line.split(" ", 1) for line in listing.splitlines() if " " in line)
    return {name: version for name, version in pairs if version}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Returns which packages have another version."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def pending(simulation: str) -> list[str]:
    """Returns what ``apt-get --simulate upgrade`` would still install."""
    lines = simulation.splitlines()
    return [line.split()[1] for line in lines if line.startswith(_INSTALLS)]


def summary(changed: list[str], left: list[str], *, reboot: bool) -> Iterator[str]:
    """Returns what a person reads at the end, the most important line last."""
    yield from changed[:_KEPT]
    if len(changed) > _KEPT:
        yield f"… and {len(changed) - _KEPT} more"
    names = f": {', '.join(left[:_KEPT])}" if left else ""
    yield f"{update_report.line(len(changed), len(left))}{names}"
    if reboot:
        yield update_report.REBOOT


def main() -> int:
    """Does the work named; with ``--check`` only says whether that could work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", choices=UNITS)
    parser.add_argument("--check", action="store_true", help="only say if it can work")
    parser.add_argument("--sudo", action="store_true", help="where there is no polkit")
    asked = parser.parse_args()
    command = start_command(asked.work, sudo=asked.sudo)
    if asked.check:
        return _check(UNITS[asked.work], command if asked.sudo else ())
    before = _installed()
    code = _start(command, UNITS[asked.work])
    if code:
        return code
    left = _left()
    changed = changes(before, _installed())
    lines = summary(changed, left, reboot=REBOOT_REQUIRED.exists())
    sys.stdout.write("\n".join([*lines, ""]))
    if asked.work == "upgrade" and left:
        sys.stderr.write(f"apt ended well, and left: {', '.join(left)}\n")
        return 1
    return 0


def _start(command: tuple[str, ...], unit: str) -> int:
    """Starts a unit, shows its journal, and returns the exit code of what it ran."""
    follow = ("journalctl", "--follow", "--lines=0", "--output=cat", f"--unit={unit}")
    with subprocess.Popen(follow) as journal:  # noqa: S603  # a unit of ours, no input
        code = _run(command).returncode
        time.sleep(JOURNAL_S)
        journal.terminate()
    if not code:
        return 0
    status = _said("systemctl", "show", "--property=ExecMainStatus", "--value", unit)
    return int(status) if status.strip().isdecimal() and int(status) else code


def _check(unit: str, command: tuple[str, ...]) -> int:
    """Prints what is missing to standard error; returns 0 if nothing is."""
    if _run(("systemctl", "cat", unit), quiet=True).returncode:
        sys.stderr.write(f"{unit} is not installed; it is in deploy/\n")
        return 1
    if not command:
        return 0
    answer = _run(("sudo", "-n", "-l", *command[2:]), quiet=True)
    sys.stderr.write(answer.stderr)
    return answer.returncode


def _installed() -> dict[str, str]:
    shown = "--showformat=${Package} ${Version}\n"
    return versions(_said("dpkg-query", "--show", shown))


def _left() -> list[str]:
    return pending(_said("apt-get", "--simulate", "--with-new-pkgs", "upgrade"))


def _said(*command: str) -> str:
    """Returns a program's output; ends with its error, as no output proves nothing."""
    answer = _run(command, quiet=True)
    if answer.returncode:
        sys.exit(f"{command[0]}: {answer.stderr.strip()}")
    return answer.stdout


def _run(
    command: tuple[str, ...], *, quiet: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs a program of this file; its output is ours unless it is quiet."""
    return subprocess.run(command, capture_output=quiet, text=True, check=False)  # noqa: S603  # as above


if __name__ == "__main__":
    sys.exit(main())
