"""``pirack power test``: what a person sees decides, and it ends as it began."""

import argparse
import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker
from broker.common.errors import ConfigError
from broker.contract.messages import Power
from broker.contract.topics import Topics
from master_service.power.fake import FakeOutlets
from master_service.power.outlets import PowerError
from master_service.power.rack_outlets import OutletLock
from master_service.rack.settings import (
    Driver,
    NodeRow,
    OutletRow,
    PowerSettings,
    Settings,
)
from pirack import power, rack_config
from pirack.power import (
    OutletOutcome,
    OutletTest,
    YesNoQuit,
    ask_person,
    master_runs,
)
from pirack.terminal import LineReader

ROWS = (OutletRow(name="stack-1", stack=1), OutletRow(name="stack-2", stack=2))
SETTINGS = Settings(
    power=PowerSettings(min_off_s=5),
    nodes=(NodeRow(id="pi-1", name="s01n1", stack=1),),
    outlets=ROWS,
)
PIN = OutletRow(
    name="stack-1", stack=1, driver=Driver.RPI_GPIO, pin=17, active_low=True
)


class Played:
    """A person whose answers are written down before."""

    def __init__(self, answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.heard: list[str] = []

    def tell(self, text: str) -> None:
        self.heard.append(text.strip())

    async def ask(self, question: str) -> YesNoQuit:
        self.heard.append(question.strip())
        answer = next(self._answers)
        if answer == "^":
            raise asyncio.CancelledError
        return YesNoQuit(answer)


class Bench:
    """Two fake outlets, and a walk along them."""

    def __init__(self, folder: Path) -> None:
        self.outlets = FakeOutlets(folder / "fake.json", ("stack-1", "stack-2"))
        self.slept: list[float] = []

    async def walk(
        self, answers: str, rows: tuple[OutletRow, ...] = ROWS
    ) -> list[OutletOutcome]:
        self.person = Played(answers)
        person = self.person
        test = OutletTest(
            SETTINGS, self.outlets, person.ask, person.tell, sleep=self.sleep
        )
        return await test.run(rows)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def switchings(self) -> list[tuple[str, bool]]:
        return [(one.outlet, one.on) for one in self.outlets.relays().switchings]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_an_outlet_goes_off_and_on_and_is_asked_about_each(bench: Bench) -> None:
    assert await bench.walk("yyyn") == [
        OutletOutcome("stack-1"),
        OutletOutcome("stack-2", skipped=True),
    ]
    assert bench.switchings == [("stack-1", False), ("stack-1", True)]
    assert bench.slept == [5], "off long enough to discharge"
    assert "cut it? s01n1 will lose power without a shutdown" in bench.person.heard
    assert "did stack 1 lose power?" in bench.person.heard
    assert "does stack 1 have power?" in bench.person.heard


async def test_an_outlet_that_was_off_ends_off(bench: Bench) -> None:
    await bench.outlets.switch("stack-1", on=False)
    assert await bench.walk("yyyq") == [OutletOutcome("stack-1")]
    assert bench.switchings[1:] == [("stack-1", True), ("stack-1", False)]


@pytest.mark.parametrize(
    ("answers", "row", "words"),
    [
        ("ynn", PIN, "write active_low = false"),
        ("ynn", ROWS[0], "exchange on and off"),
        ("yny", PIN, "another pin or plug"),
        ("yyn", PIN, "did not come back"),
        ("yyq", PIN, "not finished"),
    ],
)
async def test_what_a_person_sees_says_what_is_wrong(
    bench: Bench, answers: str, row: OutletRow, words: str
) -> None:
    (tested,) = await bench.walk(answers, (row,))
    assert words in tested.fault


async def test_whoever_quits_midway_leaves_it_as_it_was(bench: Bench) -> None:
    (tested, *_) = await bench.walk("yqn")
    assert tested.fault == "not finished"
    assert await bench.outlets.read("stack-1") is Power.ON


async def test_an_interrupt_midway_leaves_it_as_it_was(bench: Bench) -> None:
    with pytest.raises(asyncio.CancelledError):
        await bench.walk("y^")
    assert bench.switchings == [("stack-1", False), ("stack-1", True)]


async def test_a_driver_that_fails_is_a_fault_and_the_walk_goes_on(
    bench: Bench,
) -> None:
    bench.outlets.fails["stack-1"] = "the relay board is not there"
    first, second = await bench.walk("yyyy")
    assert first.fault == "the relay board is not there"
    assert second == OutletOutcome("stack-2")


async def test_answers_are_read_line_by_line_until_they_end() -> None:
    read, write = os.pipe()
    os.write(write, b"perhaps\nYes\nn\n")
    reader = LineReader(read)
    assert [await ask_person(reader, "?") for _ in range(2)] == [
        YesNoQuit.YES,
        YesNoQuit.NO,
    ]
    os.close(write)
    assert await ask_person(reader, "?") is YesNoQuit.QUIT
    os.close(read)


TOML = """
[rack]
stacks = 2
[broker]
port = 1
[master]
data_dir = "{folder}"
[[outlet]]
name = "stack-1"
driver = "rpi-gpio"
stack = 1
pin = 22
active_low = {active_low}
"""


def parsed(folder: Path, *words: str, active_low: str = "false") -> argparse.Namespace:
    path = folder / "pirack.toml"
    path.write_text(TOML.format(folder=folder, active_low=active_low))
    parser = argparse.ArgumentParser()
    power.add_arguments(parser)
    return parser.parse_args(["test", "--config", str(path), *words])


@pytest.mark.parametrize("said", [b"online", b"offline", b""])
async def test_a_master_that_is_online_is_seen_on_its_broker(said: bytes) -> None:
    broker, topics = FakeBroker(), Topics("lab")
    broker.publish(topics.master_status, said, retain=True)
    assert await master_runs(broker.connect, topics) is (said == b"online")
    assert broker.clients() == []
    broker.stop()
    assert await master_runs(broker.connect, topics, connect_s=0) is None


def test_a_dry_run_says_all_and_needs_no_pins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power.run(parsed(tmp_path, "--dry-run", active_low="true")) == 0
    said = capsys.readouterr().out
    assert "off: GPIO22 becomes high" in said
    assert "on: GPIO22 becomes low" in said
    assert "blip on" in said
    assert not (tmp_path / "outlets.lock").exists()


def unnamed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    power.add_arguments(parser)
    return parser.parse_args(["test", "--dry-run", *words])


def test_the_outlets_are_those_of_the_rack_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rack for good, unless another is named; one that was up here, where none is."""
    tables = TOML.format(folder=tmp_path, active_low="true")
    up = tmp_path / ".pirack" / "etc" / "master.toml"
    monkeypatch.delenv("PIRACK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rack_config, "PRODUCTION", tmp_path / "pirack.toml")
    with pytest.raises(ConfigError, match=r"no outlets found.*give --config FILE"):
        power.run(unnamed())
    up.parent.mkdir(parents=True)
    up.write_text(tables.replace("stack-1", "desk"))
    assert power.run(unnamed("desk")) == 0
    rack_config.PRODUCTION.write_text(tables)
    assert power.run(unnamed("stack-1")) == 0
    assert f"the outlets of {rack_config.PRODUCTION}:" in capsys.readouterr().out
    assert power.run(unnamed("desk", "--data", str(tmp_path / ".pirack"))) == 0


def test_it_refuses_while_a_master_has_the_outlets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRACK_STAND_IN_PINS", str(tmp_path / "pins.jsonl"))
    lock = OutletLock(tmp_path, "pirack master")
    lock.take()
    with pytest.raises(PowerError, match=r"in use by pirack master.*pirack send"):
        power.run(parsed(tmp_path))
    lock.release()
    assert not (tmp_path / "pins.jsonl").exists()


def test_an_outlet_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'stack-9'; known: stack-1"):
        power.run(parsed(tmp_path, "stack-9", "--dry-run"))
