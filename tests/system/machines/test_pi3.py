"""An emulated Raspberry Pi 3: one boot, in which the checks of ``on_a_pi`` run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pirack import distribution
from tests.system.machines import packages, pi3
from tests.system.machines.pi3 import Check, Plan

BOOT_S = 500.0
"""Long for a busy machine; alone it takes a tenth of that."""
HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(packages.missing()), reason=packages.missing()),
]


def boot(folder: Path, plan: Plan) -> list[Check]:
    """What every check of a plan said that ran on a board."""
    _, wheel = distribution.build_wheel()
    return pi3.build(folder, wheel, plan).boot(folder, deadline_s=BOOT_S)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Check]:
    """With gpiod and rpi-lgpio."""
    return boot(tmp_path_factory.mktemp("pi3"), pi3.LGPIO_PLAN)


def defined(file: str) -> set[str]:
    """The tests that a file defines."""
    tree = ast.parse((pi3.PROJECT / file).read_text())
    names = (getattr(node, "name", "") for node in tree.body)
    return {name for name in names if name.startswith("test_")}


def holds(results: list[Check], file: str, *others: str) -> None:
    """Asserts that all tests of a file ran on the board, and none failed."""
    own = [one for one in results if one.name.startswith(file)]
    wrong = [one for one in own if one.outcome not in {"passed", *others}]
    said = (f"{one.name} {one.outcome}\n{one.text}" for one in wrong)
    assert not wrong, "\n\n".join(said)
    ran = {one.name.partition("::")[2].partition("[")[0] for one in own}
    assert ran == defined(file)


def test_the_agent_knows_its_board_and_reads_its_sensors(results: list[Check]) -> None:
    holds(results, pi3.BOARD_CHECKS)


def test_gpiod_and_rpi_lgpio_drive_the_pins(results: list[Check]) -> None:
    holds(results, pi3.PIN_CHECKS)


def test_powerd_holds_the_pins_and_claims_them_as_they_were(
    results: list[Check],
) -> None:
    holds(results, pi3.POWERD_CHECKS)


def test_drivers_keep_their_contract_on_the_pins(results: list[Check]) -> None:
    """But for what Debian's kernel breaks, where the master refuses to start."""
    holds(results, pi3.CONTRACT, "xfailed")
    broken = {one.name for one in results if one.outcome == "xfailed"}
    assert len(broken) == 4, "two drivers, killed and closed"
    assert all("an_end_and_a_new_start" in name for name in broken)


@pytest.mark.long
def test_gpiod_keeps_the_whole_contract_where_the_kernel_keeps_outputs(
    tmp_path: Path,
) -> None:
    """With Debian 13: kernel 6.12 and Python 3.13, for which lgpio has no wheel."""
    results = boot(tmp_path, pi3.DEBIAN_13_PLAN)
    for file in pi3.ALL_CHECKS:
        holds(results, file)


@pytest.mark.long
def test_the_script_for_owners_says_what_this_board_is(tmp_path: Path) -> None:
    """And drives two pins, which no jumper joins here, and leaves them as inputs."""
    holds(boot(tmp_path, pi3.REPORT_PLAN), pi3.REPORT_CHECKS)


@pytest.mark.long
def test_rpi_gpio_itself_drives_the_pins_and_leaves_them(tmp_path: Path) -> None:
    """The module in C, built here; its registers keep what a killed process set.

    It reaches them by /dev/mem, for /dev/gpiomem is of Raspberry Pi's kernel. What the
    contract says of hardware that fails is skipped: registers refuse nothing.
    """
    results = boot(tmp_path, pi3.RPI_GPIO_PLAN)
    holds(results, pi3.PIN_CHECKS)
    holds(results, pi3.CONTRACT, "skipped")
    assert [one.outcome for one in results].count("skipped") == 1
