"""Lock files name all that pyproject.toml wants, with hashes, and the SBOM names it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
NODE, WHEELS, GPIO, RACK, DEV, TOOLS = (
    ROOT / "deploy/node.lock",
    ROOT / "deploy/wheels.lock",
    ROOT / "requirements/gpio.lock",
    ROOT / "requirements/rack.lock",
    ROOT / "requirements/dev.lock",
    ROOT / "requirements/tools.lock",
)
LOCKS = pytest.mark.parametrize(
    "lock", [NODE, WHEELS, GPIO, RACK, DEV, TOOLS], ids=lambda path: path.name
)
PYTHONS = [
    {"python_version": python, "python_full_version": f"{python}.5"}
    | {"platform_machine": machine, "sys_platform": "linux", "os_name": "posix"}
    for python in ("3.11", "3.13")
    for machine in ("x86_64", "aarch64")
]


def pins(lock: Path) -> dict[str, Requirement]:
    """What a lock file names, each with its one version."""
    lines = lock.read_text().replace("\\\n", "").splitlines()
    found = [line.split("--hash")[0] for line in lines if re.match("[a-z]", line)]
    return {canonicalize_name(one.name): one for one in map(Requirement, found)}


def asked(lock: Path) -> list[Requirement]:
    """What pyproject.toml wants to be in a lock file."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, groups = whole["project"], whole["dependency-groups"]
    extras = project["optional-dependencies"]
    extra = extras["rack"]
    build = [*groups["build"], *whole["build-system"]["requires"]]
    more: dict[Path, list[Any]] = {
        NODE: [],
        GPIO: [*extras["gpio"], *extras["gpio-pi5"], *extras["gpiod"]],
        RACK: [*extra, *build],
        DEV: [*extra, *build, *groups["dev"]],
        TOOLS: [*groups["lock"], *groups["audit"]],
    }
    if lock == WHEELS:  # what builds wheels on a board, in an environment of its own
        return [Requirement(one) for one in groups["board-wheels"]]
    words = [*project["dependencies"], *more[lock]]
    return [Requirement(one) for one in words if isinstance(one, str)]


@LOCKS
def test_a_lock_file_satisfies_pyproject_on_each_python_and_processor(
    lock: Path,
) -> None:
    found = pins(lock)
    for wanted in asked(lock):
        pin = found.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted} is in pyproject.toml alone: make lock"
        (version,) = (one.version for one in pin.specifier)
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}: {pin}"
        for python in PYTHONS:
            assert pin.marker is None or pin.marker.evaluate(python), pin


@LOCKS
def test_a_lock_file_has_one_version_and_a_hash_of_each_and_names_no_host(
    lock: Path,
) -> None:
    text = lock.read_text()
    entries = re.findall(r"^\S[^#]*?(?=^\S|^    #|\Z)", text, re.M | re.S)
    for entry in (one for one in entries if one[0] != "#"):
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted", text)


def test_the_lock_files_agree() -> None:
    node, rack, dev = pins(NODE), pins(RACK), pins(DEV)
    whole = ((node, rack), (rack, dev), (node, pins(TOOLS)), (node, pins(GPIO)))
    for smaller, larger in whole:
        for name, pin in smaller.items():
            assert str(larger[name]) == str(pin)


def test_the_sbom_names_what_the_lock_files_name(tmp_path: Path) -> None:
    made: list[bytes] = []
    for _ in range(2):
        subprocess.run(
            [sys.executable, ROOT / "scripts/sbom", tmp_path], check=True, timeout=30
        )
        made.append(b"".join(one.read_bytes() for one in sorted(tmp_path.iterdir())))
    assert made[0] == made[1]
    for kind, lock in (("node", NODE), ("rack", RACK)):
        (path,) = tmp_path.glob(f"pirack-*-{kind}.cdx.json")
        bom = json.loads(path.read_text())
        assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
        named = {one["name"]: one for one in bom["components"]}
        assert named.keys() == pins(lock).keys()
        hashes = [h["content"] for one in named.values() for h in one["hashes"]]
        locked = re.findall(r"sha256:([0-9a-f]{64})", lock.read_text())
        assert sorted(hashes) == sorted(locked)
        needs = {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}
        own = bom["metadata"]["component"]["bom-ref"]
        assert named["msgspec"]["bom-ref"] in needs[own]
        reached = {ref for refs in needs.values() for ref in refs}
        assert reached == {one["bom-ref"] for one in named.values()}
