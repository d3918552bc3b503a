"""Foreign text is shown safely; what is refused is counted, and logged once a kind."""

import json
import logging

import pytest

from broker.common.log import (
    PrintableFormatter,
    Rejections,
    printable,
    printable_json,
)

OBEYED = ["\x1b", "\r", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\ud800"]


def test_each_kind_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    rejections = Rejections("master")
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            rejections.add("heartbeat", f"number {number} is no JSON")
        rejections.add("topic", "x is none of ours")
    assert rejections.counts == {"heartbeat": 1000, "topic": 1}
    assert rejections.total == 1001
    assert [record.getMessage() for record in caplog.records] == [
        "master: refused heartbeat: number 0 is no JSON (logged once)",
        "master: refused topic: x is none of ours (logged once)",
    ]


def test_nothing_refused_is_nothing_counted() -> None:
    assert Rejections("master").counts == {}
    assert Rejections("master").total == 0


def test_counts_are_a_copy() -> None:
    rejections = Rejections("master")
    rejections.counts["x"] = 1
    assert rejections.total == 0


@pytest.mark.parametrize("char", OBEYED)
def test_what_a_terminal_obeys_is_shown(char: str) -> None:
    shown = printable(f"a{char}b")
    assert shown.isprintable()
    assert shown[0] + shown[-1] == "ab"
    assert char not in printable_json(f"a{char}b")


def test_lines_and_other_scripts_stay_as_they_are() -> None:
    text = "Küche 厨房 38 °C\n\tnext"
    assert printable(text) == text
    assert printable("a\nb", keep="") == "a\\nb"
    assert printable("38\u202f°C\xa0") == "38 °C "


@pytest.mark.parametrize("text", ["\x1b\x7f\x9b", "\u202e", "\U000e0041", "𝄞é"])
def test_json_means_the_same(text: str) -> None:
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text


def test_a_log_line_is_printable() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 1, "say %s", ("\x1b[2J",), None)
    assert PrintableFormatter("%(message)s").format(record) == "say \\x1b[2J"
