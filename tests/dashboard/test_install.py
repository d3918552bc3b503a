import json
from typing import Any

import pytest

from broker.contract.messages import (
    InstallBoard,
    InstallStack,
    InstallState,
    InstallStep,
    ScanPhase,
)
from dashboard.live.install_feed import hint, words
from tests.dashboard.conftest import WALL, FakePort, Harness

MAC = "dc:a6:32:01:02:03"  # what details() of the harness says


def told(port: FakePort) -> list[dict[str, Any]]:
    """Return what the tab was sent of the install run, in order."""
    private = [json.loads(own) for _, _, own in port.sent]
    return [each["install"] for each in private if "install" in each]


def say_stack(harness: Harness, stack: int, **board: object) -> None:
    boards = (InstallBoard(slot=1, name=f"s{stack:02}n1", **board),)  # type: ignore[arg-type]  # as the test says
    one = InstallStack(stack=stack, run="7", phase=ScanPhase.PLACED, boards=boards)
    harness.say(harness.topics.install_stack(stack), one)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, ""),
        ({"run": "7", "step": InstallStep.DONE, "done": 4, "total": 4}, ""),
        ({"run": "7", "step": InstallStep.CANCELLED, "done": 1, "total": 4}, ""),
        ({"run": "7", "step": InstallStep.CONFIRM, "total": 4}, "!"),
        ({"run": "7", "step": InstallStep.ALL_OFF, "total": 4}, "0 %"),
        ({"run": "7", "step": InstallStep.SCAN, "done": 1, "total": 4}, "20 %"),
        ({"run": "7", "step": InstallStep.ALL_ON, "done": 4, "total": 4}, "80 %"),
        ({"run": "7", "step": InstallStep.VERIFY, "done": 2, "total": 4}, "92 %"),
        ({"run": "7", "step": InstallStep.PREFLIGHT}, "…"),
    ],
)
def test_the_navigation_shows_only_a_run_under_way(
    values: dict[str, Any], shown: str
) -> None:
    assert hint(InstallState(**values)) == shown


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        (InstallStep.CONFIRM, "waits to be confirmed"),
        (InstallStep.ALL_ON, "switching on, 4 of 4 found"),
        (InstallStep.VERIFY, "verifying, 4 of 4 verified"),
        (InstallStep.DONE, "done, 4 of 4 verified"),
        (InstallStep.CANCELLED, "cancelled, 4 of 4 found"),
        (InstallStep.OTHER, "other, 4 of 4 found"),
    ],
)
def test_a_step_of_the_run_is_said_in_plain_words(
    step: InstallStep, shown: str
) -> None:
    assert words(InstallState(run="7", step=step, done=4, total=4)) == shown


def test_a_dry_run_is_called_one_and_counts_only_its_problems() -> None:
    dry = InstallState(
        run="7", step=InstallStep.DONE, dry=True, total=4, problems=("a",)
    )

    assert words(dry) == "dry run: done, 1 problem"


def test_a_rack_without_a_run_has_no_words_for_it() -> None:
    assert words(None) == words(InstallState(backend="dnsmasq")) == hint(None) == ""


def test_only_a_tab_that_shows_the_page_is_sent_the_boards(harness: Harness) -> None:
    view, port = harness.view()
    _, other = harness.view()
    state = InstallState(run="7", backend="dnsmasq")
    harness.say(harness.topics.install_state, state, retain=False)
    say_stack(harness, 1, mac=MAC)
    harness.hub.tick()
    view.follow_install(on=True)
    harness.hub.tick()

    (whole,) = told(port)
    assert whole["whole"]
    assert whole["state"]["backend"] == "dnsmasq"
    assert whole["state"]["heard"] == WALL
    assert whole["state"]["problems"] == []  # the page gets defaults, too
    stack = whole["stacks"][0]
    assert (stack["number"], stack["run"], stack["phase"]) == (1, "7", "placed")
    assert told(other) == []


def test_a_stored_state_is_not_said_to_be_of_now(harness: Harness) -> None:
    view, port = harness.view()
    view.follow_install(on=True)
    harness.say(harness.topics.install_state, InstallState(run="7"), retain=True)
    harness.hub.tick()

    assert told(port)[0]["state"]["heard"] == 0


def test_then_it_is_sent_the_stacks_that_changed_until_it_leaves(
    harness: Harness,
) -> None:
    view, port = harness.view()
    view.follow_install(on=True)
    say_stack(harness, 1)
    say_stack(harness, 2)
    harness.hub.tick()

    say_stack(harness, 1)
    say_stack(harness, 2, verified=True)
    harness.hub.tick()
    harness.say(harness.topics.install_stack(1), b"")
    harness.hub.tick()
    view.follow_install(on=False)
    say_stack(harness, 2)
    harness.hub.tick()

    _, changed, gone = told(port)
    assert [each["number"] for each in changed["stacks"]] == [2]
    assert gone == {"gone": [1]}


def test_a_board_is_known_by_its_hardware_address_once_its_agent_speaks(
    harness: Harness,
) -> None:
    view, port = harness.view()
    view.follow_install(on=True)
    say_stack(harness, 1, mac=MAC.upper())
    harness.hub.tick()
    harness.node(1)
    harness.hub.tick()

    nodes = [each["stacks"][0]["boards"][0]["node"] for each in told(port)]
    assert nodes == ["", "pi-1"]


def test_what_happened_while_nobody_looked_is_in_the_first_message(
    harness: Harness,
) -> None:
    view, port = harness.view()
    view.follow_install(on=True)
    harness.hub.tick()
    view.follow_install(on=False)
    say_stack(harness, 3, mac=MAC)
    harness.node(1)
    harness.hub.tick()
    view.follow_install(on=True)
    harness.hub.tick()

    assert told(port)[-1]["stacks"][0]["boards"][0]["node"] == "pi-1"


def test_a_tab_that_missed_something_gets_all_of_it(harness: Harness) -> None:
    view, port = harness.view()
    view.follow_install(on=True)
    say_stack(harness, 1)
    harness.hub.tick()
    view.resync()
    harness.hub.tick()

    assert [each["whole"] for each in told(port)] == [True, True]
