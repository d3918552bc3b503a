"""What a new user meets: a closed pipe, Ctrl-C, a file system nobody can write."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.mark.parametrize(
    "command",
    ["pirack send --help", "pirack --help", "pirack-agent --help", "pirack-powerd -h"],
)
def test_help_for_a_reader_that_is_gone_is_no_error(command: str) -> None:
    """As `| head -0`, which may end before the text is written."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            command.replace("pirack", str(BIN / "pirack"), 1).split(),
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    assert done.stderr == b""


def run_read_only(
    directory: Path, *command: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a directory that is read-only for it alone."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" &&'
    mount += ' exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, directory, *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@as_root
@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_data_directory_is_not_advised_to_change_its_owner(
    tmp_path: Path, *, there: bool
) -> None:
    if there:
        (tmp_path / ".pirack").mkdir()
    done = run_read_only(tmp_path, BIN / "pirack", "up")
    assert done.returncode == 3
    assert "Read-only file system. Give another directory with --data" in done.stderr
    assert "chown" not in done.stderr


@as_root
@pytest.mark.parametrize(
    "words", [("venv", ".venv"), ("get-mosquitto", "--unpack")], ids=str
)
def test_a_read_only_clone_is_not_advised_to_change_its_owner(
    tmp_path: Path, words: tuple[str, str]
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    script = tmp_path / "scripts" / words[0]
    done = run_read_only(tmp_path, script, words[1])
    assert done.returncode == 1
    assert "read-only file system" in done.stderr
    assert "Way out: work in a copy" in done.stderr or "Work in a copy" in done.stderr
    assert "chown" not in done.stderr


def interrupted(script: Path, *words: str, programs: Path) -> tuple[int, str]:
    """Press Ctrl-C when a stand-in program runs; return exit code and words."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        # What was started in the background of a script ignores SIGINT from then on.
        ["env", "--default-signal=INT", script, *words],
        env=os.environ | {"PATH": path},
        stderr=subprocess.PIPE,
        text=True,
        cwd=script.parents[1],
        start_new_session=True,  # Ctrl-C goes to all of a terminal's process group
    ) as running:
        deadline = time.monotonic() + 30
        while not (programs / "runs").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=30)
    return running.returncode, said


def stand_in(programs: Path, name: str, text: str) -> None:
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def test_ctrl_c_ends_the_unpacking_of_mosquitto_at_once(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    programs = tmp_path / "programs"
    stand_in(programs, "apt-get", f"#!/bin/sh\ntouch {programs}/runs\nexec sleep 60\n")
    script = tmp_path / "scripts/get-mosquitto"
    code, said = interrupted(script, "--unpack", programs=programs)
    assert code == 130
    assert said.splitlines() == [
        f"pirack: unpacking Mosquitto into {tmp_path}/.mosquitto (no root needed)"
    ]
    assert list(tmp_path.glob(".mosquitto*")) == []


def test_ctrl_c_while_the_environment_is_made_shows_no_traceback(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    programs = tmp_path / "programs"
    python = f"""#!{sys.executable}
import os, pathlib, sys, time
if sys.argv[1:3] != ["-m", "venv"]:
    os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
pathlib.Path({str(programs)!r}, "runs").touch()
time.sleep(60)
"""
    stand_in(programs, "python3", python)
    code, said = interrupted(tmp_path / "scripts/venv", ".venv", programs=programs)
    assert code == 130
    assert said == "pirack: stopped; the next run goes on from here\n"
