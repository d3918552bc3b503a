"""What is asked of the rack's history, and what cannot be."""

import argparse

import pytest

from pirack.cli import parser
from pirack.event_question import question
from pirack.events import run


def arguments(*words: str) -> argparse.Namespace:
    return parser(only="events").parse_args(["events", *words])


@pytest.mark.parametrize(
    ("words", "topic", "args"),
    [
        ("", "rack", ("limit=50",)),
        ("--since 2h", "rack", ("since=2h", "limit=5000")),
        ("--since 2h --limit 7", "rack", ("since=2h", "limit=7")),
        ("--node s03n2 --until 1h", "node/s03n2", ("until=1h", "limit=50")),
        (
            "--stack 3 --kind power --kind fault",
            "stack/3",
            ("kind=power,fault", "limit=50"),
        ),
        ("--incident i-7", "rack", ("incident=i-7", "limit=50")),
        ("--command c0ffee", "rack", ("correlation=c0ffee", "limit=50")),
    ],
)
def test_options_become_the_words_of_a_question(
    words: str, topic: str, args: tuple[str, ...]
) -> None:
    asked = question(arguments(*words.split()))
    assert (str(asked.scope), asked.verb) == (topic, "events")
    assert asked.command.args == args


@pytest.mark.parametrize(
    "words", ["--follow --until 1h", "--follow --fold", "--node Böse", "--stack 0"]
)
def test_what_makes_no_sense_is_wrong_usage(words: str) -> None:
    assert run(arguments(*words.split())) == 2


@pytest.mark.parametrize("limit", ["0", "-4", "5001", "many"])
def test_a_number_of_lines_that_is_none_is_wrong_usage(limit: str) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(f"--limit={limit}")
    assert ended.value.code == 2
