"""``scripts/try-on-a-pi`` on a machine that is no Pi, and with wrong words."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from broker.common.processes import how_it_ended
from pirack import distribution

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "scripts/try-on-a-pi"

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def run(
    *words: str, script: Path = SCRIPT, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=280,
        check=False,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)} if folder else None,
    )


def index_is_reached() -> bool:
    """Whether pip finds what a board would install."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "msgspec"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


@pytest.fixture
def lone_script(tmp_path: Path) -> Path:
    """The script without a clone around it, and the wheel beside it."""
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    name, wheel = distribution.build_wheel()
    (folder / name).write_bytes(wheel)
    return folder / SCRIPT.name


def test_with_the_wheel_alone_it_reports_and_leaves_nothing(
    lone_script: Path, tmp_path: Path
) -> None:
    if not index_is_reached():
        pytest.skip("no package index is reached")
    [wheel] = lone_script.parent.glob("*.whl")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ("--json", "--wheel", str(wheel))
    done = run(*words, script=lone_script, folder=temporary)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["board"]["result"] == "cannot be checked"
    assert rows["board"]["why"] == "this machine is not a Raspberry Pi"
    assert rows["vitals"]["result"] == "ok"
    assert "PiRack and its packages in" in rows["Python"]["seen"]
    assert not list(temporary.iterdir())
    assert {file.name for file in lone_script.parent.iterdir()} == {
        SCRIPT.name,
        wheel.name,
    }


@pytest.mark.long
def test_without_gpiod_all_else_is_checked(
    lone_script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not index_is_reached():
        pytest.skip("no package index is reached")
    [wheel] = lone_script.parent.glob("*.whl")
    (tmp_path / "constraints").write_text("gpiod==0.0.0.1\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints"))
    done = run("--json", "--wheel", str(wheel), script=lone_script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert "but gpiod cannot be installed" in rows["Python"]["seen"]
    assert rows["driver gpiod"]["why"].startswith("it is not installed")


def test_what_cannot_be_installed_is_a_report_too(
    lone_script: Path, tmp_path: Path
) -> None:
    broken = lone_script.parent / "pirack-0-py3-none-any.whl"
    broken.write_text("no wheel")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = run("--json", "--wheel", str(broken), script=lone_script, folder=temporary)
    assert done.returncode == 1, done.stderr
    [first, second] = json.loads(done.stdout)["rows"]
    assert first["name"] == "installation"
    assert first["result"] == "differs"
    assert "pirack-0" in first["seen"]
    assert second["result"] == "cannot be checked"
    assert not list(temporary.iterdir())


def test_no_name_and_no_address_of_this_machine_is_told() -> None:
    told, whole = run("--installed"), run("--installed", "--whole")
    assert told.returncode == whole.returncode == 0, told.stderr + whole.stderr
    addresses = [
        text
        for file in Path("/sys/class/net").glob("*/address")
        if (text := file.read_text().strip()) not in {"", "00:00:00:00:00:00"}
        and text != "ff:ff:ff:ff:ff:ff"
    ]
    for address in addresses:
        assert address not in told.stdout
    shown = [one for one in addresses if one in whole.stdout]
    assert shown or not addresses, "the test would see one"


def test_one_that_is_told_to_end_leaves_nothing(
    lone_script: Path, tmp_path: Path
) -> None:
    [wheel] = lone_script.parent.glob("*.whl")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = [sys.executable, str(lone_script), "--wheel", str(wheel)]
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        words, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "installing" in process.stderr.readline()
        assert list(temporary.iterdir())
        process.terminate()
        assert process.wait(30) == 143
    assert not list(temporary.iterdir())


def test_the_script_has_every_option_of_the_checks() -> None:
    script = run("--help").stdout
    asked = [sys.executable, "-m", "pirack.on_a_pi.cli", "--help"]
    checks = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    options = re.findall(r"^  (--[a-z-]+)", checks, re.MULTILINE)
    assert len(options) >= 6
    assert [one for one in options if one not in script] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--jumper", "5"), 2, "--jumper 5 is not two pins, as in 5:6"),
        (("--jumper", "5:5"), 2, "'5:5' is not two pins of the header"),
        (("--jumper", "0:5"), 2, "not two pins of the header"),
        (("--jumper", "8:9"), 2, "one against the other"),
        (("--jumper", "5:6"), 2, "without a terminal add --no-relay"),
        (("--no-relay",), 2, "--no-relay is about --jumper"),
        (("--pins", "5"), 2, "unrecognized arguments: --pins"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_reported(
    words: tuple[str, ...], code: int, said: str
) -> None:
    done = run("--installed", *words)
    assert done.returncode == code, how_it_ended(done.returncode)
    assert said in done.stderr
    assert done.stdout == ""


def test_a_wheel_that_is_not_there_and_a_script_without_a_clone_are_refused(
    lone_script: Path,
) -> None:
    absent = run("--wheel", "/nowhere/pirack.whl")
    assert absent.returncode == 2
    assert "is not a wheel" in absent.stderr
    alone = run(script=lone_script)
    assert alone.returncode == 3
    assert "is not a clone of PiRack; give the wheel: --wheel FILE" in alone.stderr


def test_pins_that_cannot_be_had_are_a_row_and_no_traceback() -> None:
    done = run("--installed", "--json", "--jumper", "5:6", "--no-relay")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["jumper"]["result"] == "cannot be checked"
    assert rows["jumper"]["why"].startswith("no pin was touched: ")
