"""``| head``: a reader that has seen enough ends the program without a word."""

import subprocess
import sys

import pytest

from pirack import terminal

PRINTS = """
import sys
from broker.contract.topics import Topics
from pirack.watch import Watcher
from broker.client.fake import FakeBroker
watcher = Watcher(FakeBroker().connect, Topics("lab"), None)
while not watcher.ended.is_set():
    watcher._print("x" * 4096)
print("more")
"""
SAYS = """
from pirack import terminal
while terminal.say("x" * 4096):
    pass
print("more")
"""
DEPLOYS = """
from pirack.deploy_view import DeployLog
from provisioning.deploy.report import DeployStep, Report, Target
report = Report(target=Target(host="x" * 4096), step=DeployStep.CONNECTING)
with DeployLog() as progress:
    for _ in range(100):
        progress(report)
"""
RAISES = """
import sys
from pirack import cli
def run(args):
    while True:
        print("x" * 4096)
class Parser:
    def parse_args(self, words):
        return type("Args", (), {"run": staticmethod(run)})
cli.parser = lambda only: Parser()
sys.exit(cli.main(["watch"]))
"""


def read_one_line(code: str) -> tuple[int, bytes]:
    """Run a program, read its first line, and return its exit code and complaints."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        return program.wait(30), program.stderr.read()


def test_a_watch_whose_reader_goes_away_ends() -> None:
    assert read_one_line(PRINTS) == (0, b"")


def test_what_is_said_to_nobody_is_no_error() -> None:
    assert read_one_line(SAYS) == (0, b"")


def test_a_deployment_whose_reader_goes_away_leaves_no_board_half_installed() -> None:
    assert read_one_line(DEPLOYS) == (0, b"")


def test_a_command_whose_reader_goes_away_ends_without_a_complaint() -> None:
    assert read_one_line(RAISES) == (1, b"")


def test_what_the_system_refused_has_a_way_out_only_where_root_is_one() -> None:
    denied = PermissionError(13, "Permission denied", "/etc/x")
    assert terminal.reason(denied) == "/etc/x: Permission denied; be root: use sudo"
    full = OSError(28, "No space left on device")
    assert terminal.reason(full) == "No space left on device"
    with pytest.raises(BrokenPipeError):  # said by nobody: see above
        terminal.reason(BrokenPipeError())
