"""``pirack install``: asked, agreed to, followed; the master is scripted."""

import asyncio
import io
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from broker.client.fake import FakeBroker
from broker.common.errors import LinkError
from broker.contract.messages import Event, EventKind, InstallState, InstallStep, encode
from pirack import install, install_view
from pirack.cli import main, parser
from pirack.install import InstallSession, NotDoneError
from pirack.install_view import RunLog
from pirack.rack_client import NoAnswerError, RackClient
from pirack.screen import LiveScreen
from tests.pirack.install_script import (
    CANCELLED,
    DONE,
    LOST,
    NEW,
    OLD,
    PROBLEMS,
    SCAN,
    STACK,
    WAITING,
    InstallMaster,
)
from tests.pirack.scripted_master import TOPICS


class LocalMaster(InstallMaster):
    """A master on a broker in memory."""

    def __init__(self, **script: tuple[InstallState, ...]) -> None:
        self.broker = FakeBroker()
        super().__init__(self.broker.connect, **script)

    async def turns(self) -> None:
        """Lets everybody do what is due: to hear and to draw are turns of their own."""
        for _ in range(10):
            await self.broker.settle()

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self.broker.settle()
            await asyncio.sleep(0)


async def begin() -> LocalMaster:
    """Returns a master with an old run behind it and a good one in its script."""
    master = LocalMaster(start=(NEW, WAITING), confirm=(SCAN, DONE))
    await master.start()
    master.say(OLD)
    master.show(STACK)
    await master.broker.settle()
    return master


def session(
    broker: FakeBroker,
    words: str,
    typed: str | None = None,
    ended: asyncio.Event | None = None,
) -> InstallSession:
    async def read_line() -> str | None:
        if typed is None:
            await asyncio.Event().wait()
        return typed

    return InstallSession(
        broker.connect,
        TOPICS,
        parser(only="install").parse_args(["install", *words.split()]),
        read_line=read_line,
        screen=RunLog,
        ended=ended or asyncio.Event(),
    )


@pytest.fixture(autouse=True)
def no_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for lines of history after a run's end: the script has told all."""
    monkeypatch.setattr(install, "LAST_S", 0)


# --- start ----------------------------------------------------------------------------


async def test_start_shows_the_forecast_and_begins_after_a_yes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    assert await session(master.broker, "start", typed="y\n").run() == 0
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
    assert await session(master.broker, "start", typed=typed).run() == 1
    assert master.words == ["start", "cancel leave"]
    assert "nothing was switched" in capsys.readouterr().out


async def test_yes_is_said_with_the_command_and_nobody_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    agreed = msgspec.structs.replace(WAITING, step=InstallStep.ALL_OFF)
    master.script["start"] = (NEW, agreed, SCAN, DONE)
    assert await session(master.broker, "start --stack 3 --yes --force").run() == 0
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
    assert await session(master.broker, "start --dry-run").run() == 1
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
    assert await session(master.broker, "status --once").run() == 0
    said = capsys.readouterr().out
    assert "It will do this:\n  stack 3 loses power\n" in said
    assert "waiting for a person: pirack install confirm, or cancel" in said


async def test_what_needs_a_person_is_said_with_what_to_do_and_is_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.script["confirm"] = (SCAN, PROBLEMS)
    assert await session(master.broker, "start", typed="yes\n").run() == 1
    said = capsys.readouterr().out
    assert f"  ! {LOST}" in said
    assert "s03n1  192.168.23.18  dc:a6:32:00:00:31  Pi 4   answers" in said
    assert "done, with problems" in said


async def test_a_refusal_is_told_in_the_masters_words() -> None:
    master = await begin()
    master.refusal = "run i-1 is at scan; cancel it, or wait"
    with pytest.raises(NotDoneError, match="run i-1 is at scan"):
        await session(master.broker, "start --yes").run()


async def test_a_run_that_is_agreed_to_elsewhere_is_followed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    going = asyncio.create_task(session(master.broker, "start").run())
    await master.until(lambda: bool(master.asked))
    for state in (SCAN, DONE):
        await master.turns()
        master.say(state)
    assert await going == 0
    assert master.words == ["start"]
    assert capsys.readouterr().out.rstrip().endswith("2 of 2 boards")


async def test_once_does_not_wait_for_the_end() -> None:
    master = await begin()
    master.script["confirm"] = (SCAN,)
    assert await session(master.broker, "start --once", typed="y\n").run() == 0


# --- looking away ---------------------------------------------------------------------


async def test_ctrl_c_leaves_the_run_going_and_says_how_to_end_it() -> None:
    master = await begin()
    master.script["confirm"] = (SCAN,)
    ended = asyncio.Event()
    way = session(master.broker, "start", typed="y\n", ended=ended)
    going = asyncio.create_task(way.run())
    await master.until(lambda: "confirm" in master.words)
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
    going = asyncio.create_task(session(master.broker, "start", ended=ended).run())
    await master.until(lambda: bool(master.asked))
    await master.turns()
    ended.set()
    assert await going == 1
    assert master.words == ["start", "cancel leave"]


async def test_a_master_that_goes_away_is_said_and_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(SCAN)
    going = asyncio.create_task(session(master.broker, "status --follow").run())
    await master.turns()
    await master.link.stop()
    await master.turns()
    await master.link.start()
    await master.turns()
    master.say(DONE)
    assert await going == 0
    said = capsys.readouterr().out
    assert "-- the master is away; it goes on with the run when it is back" in said
    assert "-- broker and master are back" in said


# --- status, confirm, cancel, swap, undo ----------------------------------------------


async def test_status_shows_the_latest_run_and_its_end_is_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    assert await session(master.broker, "status").run() == 0
    assert "i-1: done\n  4 of 4 boards" in capsys.readouterr().out
    master.say(PROBLEMS)
    assert await session(master.broker, "status").run() == 1


@pytest.mark.parametrize("words", ["status", "status --once"])
async def test_status_of_a_run_under_way_prints_it_and_ends(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    master = await begin()
    master.say(SCAN)
    assert await session(master.broker, words).run() == 0
    said = capsys.readouterr().out
    assert "stack 3 has come on: its boards ask for addresses" in said
    assert "1 of 2 boards, about 20 s left" in said


async def test_status_prints_the_runs_lines_of_history_as_they_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(SCAN)
    going = asyncio.create_task(session(master.broker, "status --follow").run())
    await master.turns()
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
    monkeypatch.setattr("pirack.install.LAST_S", 60)
    master, ended = await begin(), asyncio.Event()
    master.say(SCAN)
    way = session(master.broker, "status --follow", ended=ended)
    going = asyncio.create_task(way.run())
    await master.turns()
    master.say(DONE)
    await master.turns()
    event = Event(seq=1, ts=0, kind=EventKind.INSTALL, text="the last line")
    master.broker.publish(TOPICS.event, encode(event))
    await master.turns()
    ended.set()
    assert await going == 0
    said = capsys.readouterr().out
    assert said.index("the last line") < said.index("i-2, by ann: done")


async def test_confirm_needs_a_run_that_waits() -> None:
    master = await begin()
    with pytest.raises(NotDoneError, match="no run waits for a word; i-1: done"):
        await session(master.broker, "confirm").run()
    assert master.words == []


async def test_confirm_is_a_persons_word_and_shows_what_is_agreed_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    master.say(WAITING)
    assert await session(master.broker, "confirm", typed="n\n").run() == 0
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
    assert await session(master.broker, line).run() == 0
    assert master.words == [words]


async def test_a_swap_prints_what_the_master_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    master = await begin()
    await session(master.broker, "swap s03n1 s03n2").run()
    assert capsys.readouterr().out == "as you said\n"


# --- who is not there -----------------------------------------------------------------


async def test_a_master_that_is_offline_is_not_asked() -> None:
    master = await begin()
    await master.link.stop()
    with pytest.raises(NoAnswerError, match="the master is offline: nothing was sent"):
        await session(master.broker, "start --yes").run()


async def test_a_rack_that_says_nothing_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pirack.install.FIRST_S", 0)
    with pytest.raises(NoAnswerError, match="is `pirack master` running"):
        await session(FakeBroker(), "status").run()


async def test_a_broker_that_is_away_is_a_link_error() -> None:
    broker = FakeBroker()
    broker.stop()
    with pytest.raises(LinkError):
        await session(broker, "status").run()


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
    assert list(install_view.summary(InstallState())) == [
        (
            "no install run yet (provisioning is off: [install] backend in pirack.toml "
            "turns it on)"
        )
    ]


def test_a_step_that_only_a_newer_master_knows_is_shown_as_another_one() -> None:
    state = InstallState(run="i-3", step=InstallStep.OTHER)
    assert install_view.step(state) == "other"


async def test_the_live_picture_shows_bar_stacks_boards_and_problems() -> None:
    client = RackClient(FakeBroker().connect, TOPICS, name="test")
    client.picture.install = msgspec.structs.replace(SCAN, problems=(LOST,))
    client.picture.install_stacks = {3: STACK}
    console = Console(width=100, record=True, file=io.StringIO())
    with LiveScreen(console=console) as screen:
        screen.draw(install_view.lines(client, (), 100))
    said = console.export_text()
    for words in ("1 of 2 boards", "✓ s03n1", "✗ s03n2", "192.168.23.18", f"! {LOST}"):
        assert words in said
