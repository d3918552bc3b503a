"""What ``pirack deploy`` is told: values and options that cannot be are refused."""

import argparse

import pytest

from broker.common.errors import ConfigError
from pirack import deployment


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    deployment.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--parallel", "many"], "'many' is not a number of boards; use 1 to 32"),
        (["--ssh-port", "99999"], "'99999' is not a port; use 1 to 65535"),
        (["--deadline", "-5"], "'-5' is not a duration"),
        (["--stack", "0"], "'0' is not a stack; use 1 to 9999"),
    ],
)
def test_a_value_that_cannot_be_is_wrong_usage_and_says_what_can(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["s03n2", "--wheel", "/no.whl"], "is not a file"),
        (["s03n2", "--wheel", __file__], "is not a wheel"),
        (["s03n2", "--wheelhouse", "/no"], "has no wheels"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pirack.rack_config.find_access", lambda _args: None)
    with pytest.raises(ConfigError, match=says):
        deployment.run(options(*words))


@pytest.mark.parametrize("words", [[], ["s03n2", "--all"], ["s03n2", "--stack", "3"]])
def test_boards_are_meant_in_one_way_or_it_is_wrong_usage(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pirack.rack_config.find_access", lambda _args: None)
    assert deployment.run(options(*words)) == 2
    assert "say which boards" in capsys.readouterr().err
