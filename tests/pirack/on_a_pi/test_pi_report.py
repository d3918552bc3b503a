"""A report tells what was seen, and not whose machine it was."""

import json

import pytest

from pirack.on_a_pi import cli
from pirack.on_a_pi.board import differs, ok, unknown
from pirack.on_a_pi.cli import Redactor

ROWS = [
    ok("board", "Raspberry Pi 4 Model B Rev 1.4"),
    differs("id", "pi-3d1c9f2e, serial 100000003d1c9f2e", "another"),
    unknown("HAT", "attic said\x1b[2J: no", "192.168.1.7"),
]
REDACTOR = Redactor("100000003d1c9f2e", ("attic", "ann", "pi"), "/home/ann")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pi-3d1c9f2e, serial 100000003D1C9F2E", "pi-…9f2e, serial …9f2e"),
        ("eth0 dc:a6:32:01:02:03, enxdca632010203", "eth0 dc:a6:32:…, enx…"),
        ("from 192.168.1.7 to fe80::1", "from (address) to (address)"),
        ("2001:db8:0:0:0:0:0:1 and ::1", "(address) and (address)"),
        ("on attic: /home/ann/pirack", "on (name): ~/pirack"),
        ("kernel 6.12.47+rpt-rpi-v8, 12:30:05", "kernel 6.12.47+rpt-rpi-v8, 12:30:05"),
        ("pi-agent of pi: attics", "pi-agent of pi: attics"),
        ("Python 3.11.2, node_agent::blink", "Python 3.11.2, node_agent::blink"),
    ],
)
def test_serials_addresses_and_names_are_taken_out_and_nothing_else(
    text: str, shown: str
) -> None:
    assert REDACTOR(text) == shown


def test_the_text_has_a_line_for_each_row_and_obeys_no_control_character() -> None:
    lines = cli.as_text(ROWS, REDACTOR).splitlines()
    assert "board  ok Raspberry Pi 4 Model B Rev 1.4" in lines
    assert "id     differs pi-…9f2e, serial …9f2e" in lines
    assert "       expected: another" in lines
    assert "HAT    cannot be checked: (name) said\\x1b[2J: no; (address)" in lines
    assert lines[-1] == "1 ok, 1 differs, 1 cannot be checked"


def test_json_says_the_same_and_whole_shows_all() -> None:
    value = json.loads(cli.as_json(ROWS, REDACTOR))
    assert value["rows"][1]["seen"] == "pi-…9f2e, serial …9f2e"
    assert value["whole"] is False
    whole = json.loads(cli.as_json(ROWS, None))
    assert whole["rows"][1]["seen"] == "pi-3d1c9f2e, serial 100000003d1c9f2e"
    assert whole["whole"] is True
