"""The arrows between packages and folders, the rooms of the big dependencies, sizes.

The picture is in docs/architecture.md; house rules in CONTRIBUTING.md.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "broker": set(),
    "node_agent": {"broker"},
    "provisioning": {"broker"},
    "dashboard": {"broker"},
    "master_service": {"broker", "provisioning"},
    "pirack": {
        "broker",
        "dashboard",
        "master_service",
        "node_agent",
        "provisioning",
    },
}

LAYERS: dict[str, tuple[str, ...]] = {
    "broker": ("common", "contract", "client", "mosquitto"),
    "node_agent": ("", "simulator"),
    "provisioning": ("common", "discovery", "backends", "run", "deploy", ""),
    "dashboard": ("server", "live", "pages", ""),
    "master_service": (
        "rack",
        "incidents",
        "presence",
        "power",
        "commands",
        "healing",
        "install",
        "",
    ),
}
"""Sub-packages, low to high: each imports only those before it. "": what is in none."""

ROOMS: dict[str, tuple[str, ...]] = {
    "paho": ("broker/client/paho_",),
    "psutil": ("node_agent/vitals.py",),
    "RPi": ("master_service/power/drivers/rpi_gpio.py",),
    "gpiod": ("master_service/power/drivers/gpiod_lines.py",),
    "nicegui": ("dashboard/",),
    "asyncssh": ("provisioning/deploy/ssh.py",),
    "rich": ("pirack/screen.py",),
    "shtab": ("pirack/completion.py",),
}

MAX_LINES = 500
REASON_FOR_LENGTH = "# long:"
"""A file over the limit says why on a line that starts so."""

PACKAGES = sorted(MAY_IMPORT)

ONLY_HERE: dict[str, dict[str, str]] = {
    r"\b(create_task|ensure_future)\(": {
        "broker/common/tasks.py": "the one that notices a task that fails",
    },
    r"\b(create_)?subprocess_(exec|shell)\b": {},
    r"\bsubprocess\.Popen\(": {
        "broker/common/processes.py": "the one that starts programs beside a loop",
        "node_agent/throttle.py": "polled by the reader of vitals, which has no loop",
        "node_agent/packages.py": "a program of its own, which has no loop",
    },
}
"""What only the named files may call, and why: everyone else uses those files."""

Graph = dict[str, set[str]]

_EXCEPTION = re.compile(r"# (noqa|type: ignore)\b")
_WITH_REASON = re.compile(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\])  # \S.*")


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module_graph() -> Graph:
    """Returns every module of ours with those that it imports, wherever it does."""
    files = {_module(file): file for one in PACKAGES for file in _files(one)}
    graph: Graph = {name: set() for name in files}
    for name, file in files.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [one if one in files else node.module for one in named]
            else:
                continue
            graph[name].update(one for one in named if one in files and one != name)
    return graph


def _folder(module: str) -> str:
    """Returns the package of a module, or its sub-package where it is in one."""
    parts = module.split(".")
    sub_package = ROOT / Path(*parts[:2]) / "__init__.py"
    return ".".join(parts[:2]) if sub_package.is_file() else parts[0]


def _folder_graph() -> Graph:
    graph: Graph = {}
    for module, imported in _module_graph().items():
        here = _folder(module)
        there = {_folder(other) for other in imported}
        graph.setdefault(here, set()).update(there - {here})
    return graph


def _circles(graph: Graph) -> list[frozenset[str]]:
    """Returns the groups of which each member leads to every other."""
    reached: Graph = {}
    for start in graph:
        found, waiting = set[str](), [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        reached[start] = found
    groups = {
        frozenset(other for other in found if start in reached.get(other, set()))
        for start, found in reached.items()
        if start in found
    }
    return sorted(groups, key=sorted)


MODULES = _module_graph()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_along_its_arrows(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    strays = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in _files(package)
        for name in sorted(set(_imports(file)))
        if name in MAY_IMPORT and name not in allowed
    ]
    assert not strays


@pytest.mark.parametrize("package", LAYERS)
def test_a_sub_package_imports_only_those_below_it(package: str) -> None:
    order = [f"{package}.{name}".rstrip(".") for name in LAYERS[package]]
    folders = {_folder(module) for module in MODULES if module.split(".")[0] == package}
    assert folders <= {package, *order}
    strays = [
        f"{module} imports {other}"
        for module, imported in MODULES.items()
        for other in imported
        if module.split(".")[0] == package == other.split(".")[0]
        and order.index(_folder(other)) > order.index(_folder(module))
    ]
    assert not strays


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not _circles(MODULES)


def test_no_folders_import_each_other_in_a_circle() -> None:
    assert not _circles(_folder_graph())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_big_dependency_enters_only_through_its_room(package: str) -> None:
    strays = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in _files(package)
        for name in sorted(set(_imports(file)) & ROOMS.keys())
        if not file.relative_to(ROOT).as_posix().startswith(ROOMS[name])
    ]
    assert not strays


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_node_imports_at_start_is_there_without_any_extra(package: str) -> None:
    """Rich and shtab are extras: imported inside functions, never with the module."""
    eager = [
        f"{file.relative_to(ROOT)} imports {name} with the module"
        for file in _files(package)
        for statement in ast.parse(file.read_text(encoding="utf-8")).body
        for name in ("rich", "shtab")
        if isinstance(statement, ast.Import | ast.ImportFrom)
        and name in ast.unparse(statement).replace(".", " ").split()
    ]
    assert not eager


@pytest.mark.parametrize("pattern", ONLY_HERE)
def test_what_one_place_does_is_done_in_that_place(pattern: str) -> None:
    strays = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in PACKAGES
        for file in _files(package)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if re.search(pattern, line)
        and file.relative_to(ROOT).as_posix() not in ONLY_HERE[pattern]
    ]
    assert not strays


def test_test_folders_are_no_packages() -> None:
    """``tests/broker/__init__.py`` would shadow the real ``broker`` package."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_modules_are_not_named_after_the_standard_library() -> None:
    """``python broker/x.py`` with a ``broker/json.py`` beside it would import that."""
    names = sys.stdlib_module_names
    files = [file for package in PACKAGES for file in _files(package)]
    assert not [str(file) for file in files if file.stem in names]


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    long = [
        f"{file.relative_to(ROOT)} has {len(lines)} lines; split it, or say why on a "
        f"line that starts with {REASON_FOR_LENGTH!r}"
        for folder in (*PACKAGES, "tests", "bench")
        for file in _files(folder)
        for lines in [file.read_text(encoding="utf-8").splitlines()]
        if len(lines) > MAX_LINES
        and not any(line.startswith(REASON_FOR_LENGTH) for line in lines)
    ]
    assert not long


def test_every_exception_to_a_rule_says_why() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{number}: write the reason after it, as `  # why`"
        for folder in (*PACKAGES, "tests", "bench", "examples")
        for file in _files(folder)
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if (found := _EXCEPTION.search(line))
        and not _WITH_REASON.match(line, found.start())
        and file != Path(__file__)
    ]
    assert not silent
