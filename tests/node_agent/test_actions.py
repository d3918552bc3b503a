"""Command files, and the argument lists that their aliases become.

Nothing from outside reaches a shell or an option.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import ConfigError, ContractError
from node_agent import command_file
from node_agent.actions import NodeAction, from_text, load
from node_agent.command_file import parse, read


def action(line: str, *, settings: str = "") -> NodeAction:
    """Returns the action of one alias called x."""
    found = from_text(f"[s]\n{settings}\nx = {line}\n").get("x")
    assert found is not None
    return found


def test_a_command_is_split_once_as_a_shell_would() -> None:
    assert action("prog -a 'b c' \"d\"").invocation().argv == ("prog", "-a", "b c", "d")


def test_a_shell_section_gives_the_text_to_the_shell_as_it_stands() -> None:
    invocation = action("a | b > ${HOME}/c", settings="shell = yes").invocation()
    assert invocation.argv == ("/bin/sh", "-c", "a | b > ${HOME}/c")


def test_a_timeout_and_a_probe_hold_for_the_section() -> None:
    invocation = action("p", settings="timeout_s = 7\nprobe = test -e f").invocation()
    assert invocation.timeout_s == 7.0
    assert invocation.probe == ("test", "-e", "f")


def test_arguments_are_taken_in_order_or_by_name() -> None:
    journal = action("journalctl -u {unit} --lines={lines}")
    assert journal.placeholders == ("unit", "lines")
    expected = ("journalctl", "-u", "ssh", "--lines=5")
    assert journal.invocation(("ssh", "5")).argv == expected
    assert journal.invocation(("lines=5", "ssh")).argv == expected
    assert journal.invocation(("lines=5", "unit=ssh")).argv == expected


def test_a_placeholder_used_twice_takes_one_argument() -> None:
    assert action("cp {f} {f}.bak").invocation(("a",)).argv == ("cp", "a", "a.bak")


@given(st.text(min_size=1, max_size=256).filter(str.isprintable))
def test_a_value_stays_one_word_whatever_it_contains(value: str) -> None:
    argv = action("echo x{v}y").invocation((value,)).argv
    assert argv == ("echo", f"x{value}y")


def test_a_value_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    argv = action("echo {a} {b}").invocation(("a={b}", "secret")).argv
    assert argv == ("echo", "{b}", "secret")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "x takes unit=…, got 0 argument(s)"),
        (("a", "b"), "x takes unit=…, got 2 argument(s)"),
        (("-rf",), "argument '-rf' must not start with '-'"),
        (("unit=--all",), "argument '--all' must not start with '-'"),
        (("a\0b",), "must not have control characters"),
        (("a\nb",), "must not have control characters"),
        (("unit=",), "must have 1 to 256 characters"),
        (("a" * 257,), "must have 1 to 256 characters"),
    ],
)
def test_an_argument_that_is_not_safe_is_refused(
    arguments: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ContractError) as caught:
        action("systemctl status {unit}").invocation(arguments)
    assert told in str(caught.value)


def test_a_minus_is_fine_where_the_file_already_wrote_the_option() -> None:
    argv = action("nice --adjustment={n} true").invocation(("-5",)).argv
    assert argv == ("nice", "--adjustment=-5", "true")


def test_a_value_cannot_turn_an_empty_start_into_an_option() -> None:
    with pytest.raises(ContractError, match="must not start with '-'"):
        action("rm {a}{b}").invocation(("-", "rf"))


def test_an_alias_without_placeholders_takes_no_arguments() -> None:
    with pytest.raises(ContractError, match="takes no arguments, got 1"):
        action("uptime").invocation(("now",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[s]\nping = ping -c 1", "'ping' cannot be an alias: PiRack answers it"),
        ("[s]\npower = off", "'power' cannot be an alias"),
        ("[s]\nx = a\nx = b", "alias 'x' was already given at file: line 2"),
        ("[s]\nx = {program} -v", "'{program}' must not come from an argument"),
        ("[s]\nx = echo 'a", "cannot be split into words: No closing quotation"),
        ("[s]\nx = ''", "names no program"),
        ("[s]\nx = chmod +x f && ./f", "'&&' needs a shell; write shell = yes"),
        ("[s]\nx = ls > file", "'>' needs a shell"),
        ("[s]\nx = ls 2>/dev/null", "'2>/dev/null' needs a shell"),
        ("[s]\nx = LANG=C date", "'LANG=C' needs a shell"),
        ("[s]\nshell = yes\nx = echo {text} | wc", "'x' has {text} under shell = yes"),
    ],
)
def test_a_command_that_cannot_be_meant_is_a_configuration_error(
    text: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_text(text, "file")
    assert told in str(caught.value)


@pytest.mark.parametrize("line", ["grep '|' f", "echo it\\'s", "set A=", "p 'a > b'"])
def test_quoted_or_harmless_signs_need_no_shell(line: str) -> None:
    assert action(line).words


def test_ones_own_file_replaces_adds_and_takes_away(tmp_path: Path) -> None:
    own = tmp_path / "own.ini"
    own.write_text("[mine]\nreboot = touch file\nshutdown =\nhello = echo hello\n")
    actions = load(own)
    reboot = actions.get("reboot")
    assert reboot is not None
    assert reboot.words == ("touch", "file")
    assert actions.get("shutdown") is None
    assert actions.get("hello") is not None
    assert actions.get("temperature") is not None


def test_the_built_in_file_offers_what_the_contract_promises() -> None:
    verbs = {action.verb for action in load().values()}
    assert {"temperature", "identify", "reboot", "shutdown", "update"} <= verbs


def test_every_built_in_action_says_what_it_does() -> None:
    assert all(action.note for action in load().values())


def test_a_probe_is_given_something_for_every_placeholder() -> None:
    assert action("cat {file} -n{n}").sample().argv == ("cat", "x", "-nx")


# -- the file itself -----------------------------------------------------------------


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
