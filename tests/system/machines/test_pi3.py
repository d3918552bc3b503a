"""An emulated Raspberry Pi 3: one boot, in which the checks of ``on_a_pi`` run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pirack.deployment import own_wheel
from tests.system.machines import packages, pi3
from tests.system.machines.pi3 import Check

BOOT_S = 200.0
"""Long for a busy machine; alone it takes a tenth of that."""
HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(packages.missing()), reason=packages.missing()),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Check]:
    """What every check said that ran on the board."""
    folder = tmp_path_factory.mktemp("pi3")
    _, wheel = own_wheel.build()
    return pi3.build(folder, wheel).boot(folder, deadline_s=BOOT_S)


def defined(file: str) -> set[str]:
    """The tests that a file defines."""
    tree = ast.parse((pi3.PROJECT / file).read_text())
    names = (getattr(node, "name", "") for node in tree.body)
    return {name for name in names if name.startswith("test_")}


@pytest.mark.parametrize("file", pi3.FILES, ids=lambda file: Path(file).stem)
def test_on_the_board_holds(results: list[Check], file: str) -> None:
    own = [one for one in results if one.name.startswith(file)]
    wrong = [one for one in own if one.outcome not in {"passed", "xfailed"}]
    said = (f"{one.name} {one.outcome}\n{one.text}" for one in wrong)
    assert not wrong, "\n\n".join(said)
    ran = {one.name.partition("::")[2].partition("[")[0] for one in own}
    assert ran == defined(file)
