"""Reads the commands of the handbook, so that a test does what an owner does."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system.machines.debian import ROOT
from tests.system.machines.machine import VirtualMachine

_BLOCK = re.DOTALL | re.MULTILINE
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", _BLOCK)
_COMMENT = re.compile(r"\s+#\s.*$", re.MULTILINE)


INSTALL = "docs/install.md"


def install_page(commit: str = "") -> str:
    """Returns the page on how to install a rack.

    Args:
        commit: As it was then; empty: as it is here.
    """
    if not commit:
        return (ROOT / INSTALL).read_text(encoding="utf-8")
    command = ["git", "-C", str(ROOT), "show", f"{commit}:{INSTALL}"]
    return subprocess.check_output(command, text=True)


def blocks(page: str, heading: str, language: str = "sh") -> list[str]:
    """Returns the blocks of a section that are in a language, without comments.

    Args:
        page: The text of the page; no block has a line that begins as a heading does.
        heading: The words of the section's heading; sections inside it do not count.
        language: Of the blocks.
    """
    text = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", page, _BLOCK)
    assert text, f"the page has no section {heading!r}"
    found = _FENCE.findall(text[1])
    return [_COMMENT.sub("", text) for kind, text in found if kind == language]


def printed_commands(output: str) -> list[str]:
    """Returns the lines that a command of PiRack printed to be pasted."""
    lines = [line.strip() for line in output.splitlines()]
    return [line for line in lines if line.startswith("sudo ")]


def install(machine: VirtualMachine, bundle: Path, page: str) -> None:
    """Installs a master line by line as the page says, and starts it.

    Args:
        machine: Has a new card, and no power.
        bundle: The project.
        page: The text of ``docs/install.md``.
    """
    with step("master: first boot"):
        machine.start()
        machine.wait_for_ssh()
    machine.put(bundle, "/home/pi/pirack.bundle")
    [lines] = blocks(page, "The master's Pi")
    output = paste(machine, lines.replace("<this repository>", "pirack.bundle"))
    commands = printed_commands(output)
    assert any("enable --now" in one for one in commands), output
    joins = "pirack node add"
    paste(machine, "\n".join(one for one in commands if joins not in one))


def paste(machine: VirtualMachine, lines: str) -> str:
    """Runs lines one after the other in one shell, and returns what they printed.

    Each must succeed; the time that each took is said.
    """
    output, folder = "", "~"
    for line in lines.strip().splitlines():
        with step(line[:60]):
            done = machine.ssh(f"cd {folder} && {line} && pwd", timeout_s=900)
        *printed, folder = done.splitlines()
        output += "\n".join(printed) + "\n"
    return output


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Says how long a step of a story took, in the test's output."""
    began = time.monotonic()
    try:
        yield
    finally:
        load = os.getloadavg()[0]
        print(f"{name:30} {time.monotonic() - began:6.1f} s  load {load:.1f}")  # noqa: T201  # pytest shows it
