"""Aliases become argument lists: nothing from outside reaches a shell or an option."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.errors import ConfigError, ContractError
from node_agent.actions import NodeAction, from_text, load


def action(line: str, *, settings: str = "") -> NodeAction:
    """Return the action of one alias called x."""
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
