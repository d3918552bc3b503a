"""The configuration of the master: what it makes of it, and what it refuses."""

import argparse
from pathlib import Path

import pytest

from broker.common import service
from broker.common.config import Document
from broker.common.errors import ConfigError
from master_service import cli
from master_service.power.wiring import read
from master_service.presence.probe import NoProber, make
from master_service.rack import layout
from master_service.rack.outlet_state import outlet_rows

NODE = {"id": "pi-1", "name": "a", "stack": 3, "slot": 6}


def test_stacks_stand_in_rows_of_so_many_columns_unless_they_say_otherwise() -> None:
    document = Document(
        {
            "rack": {"stacks": 5, "boards": 4, "columns": 2},
            "stack": [{"number": 5, "name": "spare", "x": 9, "slots": 1}],
            "node": [NODE],
        }
    )
    stacks = layout.stacks(read(document))
    assert [(s.x, s.y) for s in stacks.values()] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
        (9, 2),
    ]
    assert (stacks[5].name, stacks[5].slots) == ("spare", 1)
    assert stacks[3].slots == 6, "as high as its highest board"


def test_with_a_driver_every_stack_has_an_outlet_unless_it_has_its_own() -> None:
    document = Document(
        {
            "rack": {"stacks": 2},
            "power": {"driver": "fake"},
            "outlet": [{"name": "left", "stack": 1, "driver": "fake"}],
        }
    )
    settings = read(document)
    rows = outlet_rows(settings, layout.stacks(settings))
    assert [(row.name, row.stack) for row in rows] == [("left", 1), ("stack-2", 2)]


def test_without_a_driver_there_are_no_outlets() -> None:
    settings = read(Document({"rack": {"stacks": 2}}))
    assert outlet_rows(settings, layout.stacks(settings)) == ()


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"node": [NODE, NODE]}, "id pi-1 is used twice"),
        ({"node": [NODE, {**NODE, "id": "pi-2"}]}, "name a is used twice"),
        ({"node": [NODE, {**NODE, "id": "pi-2", "name": "b"}]}, "3/6 is used twice"),
        ({"node": [{"id": "Pi 1"}]}, "must match"),
        ({"node": [{"id": "pi-1", "tags": ["a b"]}]}, "must match"),
        ({"stack": [{"number": 1}, {"number": 1}]}, "is used twice"),
        ({"outlet": [{"name": "a"}, {"name": "a"}]}, "is used twice"),
        ({"master": {"probe": "telnet"}}, "probe"),
        ({"master": {"intervall_s": 1}}, "did you mean 'interval_s'?"),
    ],
)
def test_a_contradiction_is_refused_by_name(
    tables: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        read(Document(tables))


def test_the_command_line_outweighs_the_file(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    args = parser.parse_args(["--data-dir", str(tmp_path / "here")])
    settings = read(service.overlaid(Document(), args, cli.OPTIONS))
    assert settings.master.data_dir == str(tmp_path / "here")


def test_the_prober_is_as_configured() -> None:
    assert isinstance(make("none"), NoProber)
    assert not isinstance(make("echo:7"), NoProber)
