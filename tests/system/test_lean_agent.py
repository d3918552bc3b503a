"""What is kept out of an agent's memory stays out, and is there for who needs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
HEAVY = (
    "argparse",
    "ctypes",
    "ctypes.util",
    "difflib",
    "email",
    "http.client",
    "importlib.metadata",
    "json",
    "lzma",
    "nicegui",
    "rich",
    "shutil",
    "tempfile",
    "urllib.request",
)


def told(program: str) -> object:
    """Run a program in a fresh interpreter and return the JSON it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return json.loads(subprocess.check_output(command, env=environment, text=True))


def test_an_agent_imports_nothing_heavy_that_it_does_not_use() -> None:
    program = (
        "import json, sys; before = set(sys.modules); from node_agent import cli; "
        "cli.as_a_service(['--config', 'pirack.toml']); "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = told(program)
    assert isinstance(loaded, list)
    assert "paho.mqtt.client" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_a_node_of_ones_own_can_still_import_what_was_kept_out() -> None:
    program = (
        "import json, node_agent.cli, urllib.request; "
        "print(json.dumps(urllib.request.Request('http://x/').host))"
    )
    assert told(program) == "x"


def test_a_reader_of_once_may_go_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "node_agent.cli", "--once"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
