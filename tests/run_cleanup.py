"""Ends what a killed test run left behind: its processes, namespaces and cgroups.

A program beside the test run, in a session of its own: ``kill -9`` and Ctrl-C do not
reach it. It looks when the pipe from the run closes, which no death can prevent.
Arguments: process id of the run, its mark.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "TEST_RUN"
"""In the environment of every process that a run starts."""
LOOKS = 3
"""In vain, one after the other: a process in the middle of exec shows no mark."""
NAMESPACES = Path("/run/netns")
REMOVE_CGROUPS = """
mount -t cgroup2 pirack /mnt || exit 0
for _ in $(seq 100); do
    find /mnt -mindepth 1 -depth -path "/mnt/$0*" -type d -exec rmdir {} + 2>/dev/null
    [ -n "$(find /mnt -maxdepth 1 -name "$0*")" ] || exit 0
    sleep 0.05
done
"""
"""As long as the kernel takes to end their processes; seen in a mount of its own."""
MEMORY = Path("/dev/shm")  # noqa: S108  # as in_memory.py


def start() -> subprocess.Popen[bytes]:
    """Marks what this process starts from now on, so that it ends with this process."""
    run, mark = str(os.getpid()), f"{os.getpid()}-{time.time_ns()}"
    program = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, run, mark],
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={},  # no mark of a run around this one, whose end it is to outlive
    )
    os.environ[MARK] = mark
    return program


def stop(program: subprocess.Popen[bytes]) -> None:
    """Has it end what is left, and end."""
    program.communicate()


def processes_of(mark: str) -> list[int]:
    """Returns the processes that have a mark."""
    words, found = f"{MARK}={mark}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # just ended, or not ours to read
            if words in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def remove_cgroups(name: str) -> None:
    """Removes the cgroups whose names begin so; their processes were killed."""
    if os.geteuid() == 0:
        command = ["unshare", "--mount", "sh", "-c", REMOVE_CGROUPS, name]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


def main() -> None:
    run, mark = sys.argv[1:]
    sys.stdin.read()
    gone = 0
    while gone < LOOKS:
        left = processes_of(mark)
        gone = 0 if left else gone + 1
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        time.sleep(0.02)
    for namespace in NAMESPACES.glob(f"pirack{run}-*"):
        subprocess.run(["ip", "netns", "delete", namespace.name], check=False)
    for folder in MEMORY.glob(f"pirack{run}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    remove_cgroups(f"pirack{run}-")


if __name__ == "__main__":
    main()
