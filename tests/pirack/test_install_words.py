"""The other words of ``pirack install``, wrong usage, and the picture of a run."""

import asyncio
import io

import msgspec
import pytest
from rich.console import Console

from broker.client.fake import FakeBroker
from broker.client.link import Message
from broker.common.errors import LinkError
from broker.contract.messages import Event, EventKind, InstallState, InstallStep, encode
from pirack.ask import NoAnswerError
from pirack.cli import main
from pirack.install import picture
from pirack.install.conduct import NotDoneError
from pirack.install.progress import Progress
from pirack.install.screen_rich import drawn
from tests.pirack.install_script import (
    DONE,
    LOST,
    PROBLEMS,
    SCAN,
    STACK,
    TOPICS,
    WAITING,
    begin,
    conductor,
    turns,
)

pytestmark = pytest.mark.usefixtures("no_patience")


# --- status, confirm, cancel, swap, undo ----------------------------------------------


async def test_status_shows_the_latest_run_and_its_end_is_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    assert await conductor(master.broker, "status").go() == 0
    assert "i-1: done\n  4 of 4 boards" in capsys.readouterr().out
    master.say(PROBLEMS)
    assert await conductor(master.broker, "status").go() == 1


@pytest.mark.parametrize("words", ["status", "status --once"])
async def test_status_of_a_run_under_way_prints_it_and_ends(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    master = await begin()
    master.say(SCAN)
    assert await conductor(master.broker, words).go() == 0
    said = capsys.readouterr().out
    assert "stack 3 has come on: its boards ask for addresses" in said
    assert "1 of 2 boards, about 20 s left" in said


async def test_status_prints_the_runs_lines_of_history_as_they_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(SCAN)
    going = asyncio.create_task(conductor(master.broker, "status --follow").go())
    await turns(master.broker)
    for kind in (EventKind.INSTALL, EventKind.POWER):
        event = Event(seq=1, ts=0, kind=kind, text=f"a line of {kind}")
        master.broker.publish(TOPICS.event, encode(event))
    await master.broker.settle()
    master.say(DONE)
    assert await going == 0
    said = capsys.readouterr().out
    assert "a line of install" in said
    assert "a line of power" not in said


async def test_lines_of_history_that_follow_the_end_are_printed_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pirack.install.conduct.LAST_S", 60)
    master, ended = await begin(), asyncio.Event()
    master.say(SCAN)
    way = conductor(master.broker, "status --follow", ended=ended)
    going = asyncio.create_task(way.go())
    await turns(master.broker)
    master.say(DONE)
    await turns(master.broker)
    event = Event(seq=1, ts=0, kind=EventKind.INSTALL, text="the last line")
    master.broker.publish(TOPICS.event, encode(event))
    await turns(master.broker)
    ended.set()
    assert await going == 0
    said = capsys.readouterr().out
    assert said.index("the last line") < said.index("i-2, by ann: done")


async def test_confirm_needs_a_run_that_waits() -> None:
    master = await begin()
    with pytest.raises(NotDoneError, match="no run waits for a word; i-1: done"):
        await conductor(master.broker, "confirm").go()
    assert master.words == []


async def test_confirm_is_a_persons_word_and_shows_what_is_agreed_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(WAITING)
    assert await conductor(master.broker, "confirm", typed="n\n").go() == 0
    assert master.words == ["confirm"]
    assert "stack 3 loses power" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cancel", "cancel restore"),
        ("cancel off", "cancel off"),
        ("swap s03n1 s03n2", "swap s03n1 s03n2"),
        ("undo", "undo"),
    ],
)
async def test_other_words_reach_the_master_as_they_are(line: str, words: str) -> None:
    master = await begin()
    assert await conductor(master.broker, line).go() == 0
    assert master.words == [words]


async def test_a_swap_prints_what_the_master_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    await conductor(master.broker, "swap s03n1 s03n2").go()
    assert capsys.readouterr().out == "as you said\n"


# --- who is not there -----------------------------------------------------------------


async def test_a_master_that_is_offline_is_not_asked() -> None:
    master = await begin()
    await master.link.stop()
    with pytest.raises(NoAnswerError, match="the master is offline: nothing was sent"):
        await conductor(master.broker, "start --yes").go()


async def test_a_rack_that_says_nothing_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pirack.install.conduct.FIRST_S", 0)
    with pytest.raises(NoAnswerError, match="is `pirack master` running"):
        await conductor(FakeBroker(), "status").go()


async def test_a_broker_that_is_away_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await conductor(broker, "status").go()


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("start", "--yes begins without asking"),
        ("cancel never", "one of leave, restore, off"),
        ("swap s03n1", "the names of two slots"),
        ("swap s03n1 s03n1", "the names of two slots"),
        ("undo now", "undo takes no words"),
        ("cancel --force", "--force goes with start"),
        ("status --dry-run", "--dry-run goes with start"),
        ("status --stack 3", "--stack goes with start"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage_and_says_what_does(
    line: str,
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert main(["install", *line.split()]) == 2
    assert hint in capsys.readouterr().err


# --- the picture ----------------------------------------------------------------------


def test_a_rack_without_provisioning_is_told_how_to_turn_it_on() -> None:
    assert list(picture.summary(InstallState())) == [
        (
            "no install run yet (provisioning is off: [install] backend in pirack.toml "
            "turns it on)"
        )
    ]


def test_a_step_that_only_a_newer_master_knows_is_shown_as_another_one() -> None:
    assert picture.step(InstallState(run="i-3", step=InstallStep.OTHER)) == "other"


def test_the_live_picture_shows_bar_stacks_boards_and_problems() -> None:
    progress = Progress(TOPICS)
    progress.state = msgspec.structs.replace(SCAN, problems=(LOST,))
    progress.stacks = {3: STACK}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(drawn(progress, ()))
    said = console.export_text()
    for words in ("1 of 2 boards", "✓ s03n1", "✗ s03n2", "192.168.23.18", f"! {LOST}"):
        assert words in said


async def test_the_last_word_of_a_run_is_not_lost_before_the_waiting_begins() -> None:
    progress = Progress(TOPICS)
    waiting = asyncio.create_task(progress.news())
    progress.on_message(Message(TOPICS.master_status, b"online"))
    async with asyncio.timeout(5):
        await waiting
