"""What to start: command line over file over built-in values."""

import argparse
import stat
from pathlib import Path

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from pirack.up.data_directory import make
from pirack.up.settings import Shape, parse_shape, resolve


def arguments(**given: object) -> argparse.Namespace:
    names = ["simulate", "rack", "data", "http_host", "http_port", "mqtt_port"]
    empty: dict[str, object] = dict.fromkeys([*names, "listen", "name", "config"])
    switches = {"verbose": False, "allow_host_power": False}
    return argparse.Namespace(**(empty | switches | given))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("12x4", Shape(12, 4)),
        (" 2X2 ", Shape(2, 2)),
        ("0", Shape(0, 0)),
        ("0x4", Shape(0, 0)),
        ("999x64", Shape(999, 64)),
    ],
)
def test_a_shape_is_stacks_and_boards(text: str, shape: Shape) -> None:
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "12", "x4", "12x", "1x65", "-1x4", "12x4x2", "ax4"]
)
def test_what_is_no_shape_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ConfigError, match="use stacks x boards, up to 999x64, or 0"):
        parse_shape(text)


def test_without_any_word_it_is_the_rack_of_the_readme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PIRACK_DATA", raising=False)
    options = resolve(arguments(), Document())
    assert (options.rack, str(options.shape)) == ("lab", "12x4")
    assert (options.mqtt_port, options.http_port) == (1883, 8080)
    assert options.data == Path(".pirack").absolute()


def test_the_environment_names_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIRACK_DATA", str(tmp_path))
    assert resolve(arguments(), Document()).data == tmp_path


def test_the_file_goes_over_built_in_values_and_the_command_line_over_the_file() -> (
    None
):
    document = Document(
        {
            "rack": {"name": "attic", "stacks": 3, "boards": 2},
            "broker": {"port": 2883},
            "dashboard": {"http_port": 9080},
            "up": {"data": "/srv/rack"},
        }
    )
    options = resolve(arguments(http_port=9999), document)
    assert (options.rack, str(options.shape)) == ("attic", "3x2")
    assert (options.mqtt_port, options.http_port) == (2883, 9999)
    assert options.data == Path("/srv/rack")
    assert resolve(arguments(rack="shed", simulate="0"), document).rack == "shed"


@pytest.mark.parametrize(
    ("given", "up", "allowed"),
    [(False, {}, False), (True, {}, True), (False, {"allow_host_power": True}, True)],
)
def test_this_machine_is_safe_from_a_demonstration_unless_somebody_says_so(
    *, given: bool, up: dict[str, bool], allowed: bool
) -> None:
    options = resolve(arguments(allow_host_power=given), Document({"up": up}))
    assert options.allow_host_power is allowed


def test_a_typing_mistake_in_the_file_names_the_right_key() -> None:
    with pytest.raises(ConfigError, match="did you mean 'simulate'"):
        resolve(arguments(), Document({"up": {"simulat": "2x2"}}))


def test_a_rack_name_that_no_topic_can_carry_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"rack 'My Rack' must match"):
        resolve(arguments(rack="My Rack"), Document())


def test_a_file_in_the_place_of_the_data_directory_is_called_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(ConfigError, match="is a file; give a directory"):
        make(file)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    make(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700


def test_a_directory_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    tmp_path.chmod(0o755)
    make(tmp_path)
    assert mode(tmp_path) == 0o755
