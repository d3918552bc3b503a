"""The command line: help that teaches, exit codes, and no secret to type."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker import VERSION
from pirack import completion
from pirack.cli import COMMANDS, main, parser


def code_of(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--version") == 0
    assert capsys.readouterr().out == f"pirack {VERSION}\n"


def test_the_help_teaches_topics_and_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert code_of("--help") == 0
    said = capsys.readouterr().out
    for words in ("pirack send stack/3 ping", "P/<target>/cmd/<verb>", "exit codes"):
        assert words in said


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_help_of_every_sub_command_has_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(command, "--help") == 0
    # The usage line has its name once; an example is a line that begins with it.
    assert f"\n  pirack {command}" in capsys.readouterr().out.replace(
        "-agent", " agent"
    )


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_sub_command_has_help_that_fits_a_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert code_of(command, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: pirack {command}")
    assert max(map(len, said.splitlines())) <= 100


def test_no_option_takes_a_password() -> None:
    assert not [word for word in _options() if "password" in word]


def _options() -> list[str]:
    return [
        word
        for one in _parsers(parser())
        for word in one._option_string_actions  # noqa: SLF001  # argparse has no other way to ask
    ]


@pytest.mark.parametrize(
    "words", [(), ("fly",), ("send",), ("send", "rack"), ("up", "--http-port", "0")]
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...]) -> None:
    assert code_of(*words) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--http", "9000"),
        ("watch", "--onc"),
        ("node", "add", "pi-1f3a9c2e", "--sta", "3"),
        ("agent", "--intervall", "3"),
    ],
)
def test_an_option_is_taken_only_in_full(words: tuple[str, ...]) -> None:
    assert code_of(*words) == 2


def test_no_parser_takes_a_shortened_option() -> None:
    assert [one.prog for one in _parsers(parser()) if one.allow_abbrev] == []


def _parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield top
    for action in top._actions:  # noqa: SLF001  # argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # likewise
            for below in action.choices.values():
                yield from _parsers(below)


@pytest.mark.parametrize("seconds", ["-4", "nan", "inf", "soon"])
def test_a_duration_that_is_none_says_what_is_right(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("send", "rack", "ping", f"--ttl={seconds}") == 2
    assert "use seconds from 0, for example 30" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["stack/0", "shelf/1", "Attic", "rack/1"])
def test_a_target_that_is_none_is_wrong_usage_and_says_what_is_right(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", target, "ping"]) == 2
    assert capsys.readouterr().err.startswith("pirack send: ")


@pytest.mark.parametrize("words", [("send", "rack", "ping"), ("watch",)])
def test_no_rack_to_be_found_is_exit_code_3_with_the_way_out(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--data", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "no `pirack up` is running on" in said
    assert "--config FILE" in said


def test_a_typing_mistake_in_the_file_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pirack.toml"
    path.write_text("[brocker]\nport = 1\n")
    assert main(["up", "--config", str(path), "--data", str(tmp_path)]) == 3
    assert "did you mean 'broker'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node]\nid = 'pi-1'", "write [[node]], not [node]"),
        ("[[node]]\nid = [1]", "[[node]] number 1: id: Expected `str`"),
        ("[agent]\nid = 3", "[agent]: id: Expected `str`"),
        ("[agent]\nwithheld = 3", "[agent]: withheld: Expected"),
        ("[simulator]\necho_port = 'x'", "[simulator]: echo_port: Expected `int`"),
        ("rack = 3", "rack is a table: write [rack]"),
    ],
)
def test_a_wrong_value_is_said_before_anything_is_started(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pirack.toml"
    path.write_text(text)
    assert main(["up", "--config", str(path), "--data", str(tmp_path / "data")]) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_closed_to_us_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(_: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/etc/enrol.toml")

    monkeypatch.setattr("pirack.rack_config.find_rack", closed)
    assert main(["watch"]) == 3
    said = capsys.readouterr().err
    assert "/data/etc/enrol.toml: Permission denied; be its owner, or use sudo" in said


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_knows_the_sub_commands(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(command.name in said for command in COMMANDS)
