"""The ``.ini`` format of 2016, and what a person is told about a line that is wrong."""

from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from node_agent import command_file
from node_agent.command_file import parse, read


def test_the_file_of_2016_is_read_with_its_capitals() -> None:
    text = "#\n# example\n#\n[rasps]\nTemperature = vcgencmd measure_temp\n"
    (section,) = parse(text, "file")
    (alias,) = section.aliases
    assert (alias.name, alias.command) == ("temperature", "vcgencmd measure_temp")


def test_settings_hold_for_their_section_only() -> None:
    first, second = parse("[a]\nshell = yes\ntimeout_s = 5\n[b]\nx = y\n", "file")
    assert (first.shell, first.timeout_s) == (True, 5.0)
    assert (second.shell, second.timeout_s) == (False, 30.0)


def test_the_comment_directly_above_an_alias_describes_it() -> None:
    text = "# not this\n\n[a]\n# What it\n; does\nx = y\nz = y\n"
    x, z = parse(text, "file")[0].aliases
    assert x.note == "What it does"
    assert z.note == ""


def test_comment_signs_inside_a_command_belong_to_it() -> None:
    (section,) = parse("[a]\nx = grep -c ; '#' = file\n", "file")
    assert section.aliases[0].command == "grep -c ; '#' = file"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a]\nshell = maybe", "line 2: shell 'maybe' must be yes or no"),
        ("[a]\ntimeout_s = soon", "line 2: timeout_s 'soon' must be a number"),
        ("[a]\ntimeout_s = 0", "timeout_s '0' must be a number of seconds above 0"),
        ("[a]\ntimeout_s = nan", "timeout_s 'nan' must be"),
        ("[a]\ntimeout = 5", "unknown setting 'timeout'; did you mean timeout_s?"),
        ("[a]\nuse_shell = yes", "unknown setting 'use_shell'; did you mean shell?"),
        ("[a]\nre.boot = x", r"line 2: alias 're.boot' must match"),
        ("[a]\nx y", "line 2: 'x y' must be written alias = command"),
        ("x = y", "line 1: 'x' stands before the first [section]"),
        ("[a\nx = y", "line 1: section '[a' must be written [name]"),
        ("[ ]", "line 1: section '[ ]' must be written [name]"),
        ("[a]\nx = y\nshell = yes", "line 3: shell must stand above the aliases"),
    ],
)
def test_a_wrong_line_is_named_with_what_would_be_right(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "file")
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"my\.ini: cannot be read: No such file"):
        read(tmp_path / "my.ini")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "my.ini").write_bytes(b"[a]\nx = \xff")
    with pytest.raises(ConfigError, match=r"my\.ini: is not UTF-8 text"):
        read(tmp_path / "my.ini")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\0" * 4096, "contains NUL bytes"),
        (b"[a]\nhello = echo\n\0\0\0", "contains NUL bytes"),
        (b"[a]\nhello = echo hi\n", ""),
        (b"a mistake of a person\n", ""),
    ],
)
def test_a_file_that_a_power_cut_left_is_told_from_a_mistake(
    tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "commands.ini"
    file.write_bytes(content)
    assert why in command_file.damage(file)
    assert bool(why) is bool(command_file.damage(file))
    assert command_file.damage(tmp_path / "missing") == ""
