"""``pirack install start``: asked, agreed to, followed; the master is scripted."""

import asyncio

import msgspec
import pytest

from broker.contract.messages import InstallState, InstallStep
from pirack.install.conduct import NotDoneError
from tests.pirack.install_script import (
    CANCELLED,
    DONE,
    LOST,
    NEW,
    PROBLEMS,
    SCAN,
    WAITING,
    begin,
    conductor,
    seen,
    turns,
)

pytestmark = pytest.mark.usefixtures("no_patience")


# --- start ----------------------------------------------------------------------------


async def test_start_shows_the_forecast_and_begins_after_a_yes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    assert await conductor(master.broker, "start", typed="y\n").go() == 0
    assert master.words == ["start", "confirm"]
    said = capsys.readouterr().out
    order = ["It will do this:", "stack 3 loses power", "Begin? [y/N]", "i-2, by ann"]
    assert sorted(order, key=said.index) == order
    assert "2 of 2 boards" in said


@pytest.mark.parametrize("typed", ["\n", "n\n", "what?\n", ""])
async def test_anything_but_a_yes_cancels_the_run_and_touches_nothing(
    typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    master = await begin()
    master.script["cancel"] = (CANCELLED,)
    assert await conductor(master.broker, "start", typed=typed).go() == 1
    assert master.words == ["start", "cancel leave"]
    assert "nothing was switched" in capsys.readouterr().out


async def test_yes_is_said_with_the_command_and_nobody_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    agreed = msgspec.structs.replace(WAITING, step=InstallStep.ALL_OFF)
    master.script["start"] = (NEW, agreed, SCAN, DONE)
    assert await conductor(master.broker, "start --stack 3 --yes --force").go() == 0
    [(topic, command)] = master.asked
    assert topic == "/stack/3/cmd/install"
    assert (command.args, command.confirm) == (("start", "force"), "stack/3")
    assert "Begin?" not in capsys.readouterr().out


async def test_a_dry_run_says_what_would_happen_and_what_stands_against_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    other = "another DHCP server, 192.168.23.9, answers on eth1; turn it off"
    dry = {"step": InstallStep.FAILED, "dry": True, "problems": (other,)}
    master.script["start"] = (NEW, msgspec.structs.replace(WAITING, **dry))
    assert await conductor(master.broker, "start --dry-run").go() == 1
    assert master.words == ["start dry"]
    said = capsys.readouterr().out
    assert "It would do this:\n  stack 3 loses power\n" in said
    assert said.count(other) == 1
    assert "boards" not in said
    assert said.endswith("Nothing was touched.\n")


async def test_status_of_a_run_that_waits_for_a_word_says_what_to_agree_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(WAITING)
    assert await conductor(master.broker, "status --once").go() == 0
    said = capsys.readouterr().out
    assert "It will do this:\n  stack 3 loses power\n" in said
    assert "waiting for a person: pirack install confirm, or cancel" in said


async def test_what_needs_a_person_is_said_with_what_to_do_and_is_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.script["confirm"] = (SCAN, PROBLEMS)
    assert await conductor(master.broker, "start", typed="yes\n").go() == 1
    said = capsys.readouterr().out
    assert f"  ! {LOST}" in said
    assert "s03n1  192.168.23.18  dc:a6:32:00:00:31  Pi 4   answers" in said
    assert "done, with problems" in said


async def test_a_refusal_is_told_in_the_masters_words() -> None:
    master = await begin()
    master.refusal = "run i-1 is at scan; cancel it, or wait"
    with pytest.raises(NotDoneError, match="run i-1 is at scan"):
        await conductor(master.broker, "start --yes").go()


async def test_a_run_that_is_agreed_to_elsewhere_is_followed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    going = asyncio.create_task(conductor(master.broker, "start").go())
    await seen(master.broker, lambda: bool(master.asked))
    for state in (SCAN, DONE):
        await turns(master.broker)
        master.say(state)
    assert await going == 0
    assert master.words == ["start"]
    assert capsys.readouterr().out.rstrip().endswith("2 of 2 boards")


async def test_once_does_not_wait_for_the_end() -> None:
    master = await begin()
    master.script["confirm"] = (SCAN,)
    assert await conductor(master.broker, "start --once", typed="y\n").go() == 0


# --- looking away ---------------------------------------------------------------------


async def test_ctrl_c_leaves_the_run_going_and_says_how_to_end_it() -> None:
    master = await begin()
    master.script["confirm"] = (SCAN,)
    ended = asyncio.Event()
    way = conductor(master.broker, "start", typed="y\n", ended=ended)
    going = asyncio.create_task(way.go())
    await seen(master.broker, lambda: "confirm" in master.words)
    ended.set()
    with pytest.raises(NotDoneError, match=r"goes on.*pirack install cancel"):
        await going
    assert master.words == ["start", "confirm"]


@pytest.mark.parametrize("states", [(NEW,), (NEW, WAITING)])
async def test_ctrl_c_before_anybody_agreed_is_a_no(
    states: tuple[InstallState, ...],
) -> None:
    master = await begin()
    master.script["start"] = states
    ended = asyncio.Event()
    going = asyncio.create_task(conductor(master.broker, "start", ended=ended).go())
    await seen(master.broker, lambda: bool(master.asked))
    await turns(master.broker)
    ended.set()
    assert await going == 1
    assert master.words == ["start", "cancel leave"]


async def test_a_master_that_goes_away_is_said_and_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(SCAN)
    going = asyncio.create_task(conductor(master.broker, "status --follow").go())
    await turns(master.broker)
    await master.link.stop()
    await turns(master.broker)
    await master.link.start()
    await turns(master.broker)
    master.say(DONE)
    assert await going == 0
    said = capsys.readouterr().out
    assert "-- the master is away; it goes on with the run when it is back" in said
    assert "-- broker and master are back" in said
