"""pirack.toml: a mistake is a sentence that names the key and the right one."""

from pathlib import Path

import pytest

from broker.common.config import BrokerSettings, Document, RackSettings, load
from broker.common.errors import ConfigError


def document(tmp_path: Path, text: str) -> Document:
    path = tmp_path / "pirack.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def test_without_a_file_everything_has_its_default() -> None:
    assert load(None).table("rack", RackSettings) == RackSettings()
    assert load(None).rows("node", RackSettings) == ()


def test_a_table_is_read(tmp_path: Path) -> None:
    settings = document(tmp_path, "[broker]\nhost = 'pi'\nport = 8883").table(
        "broker", BrokerSettings
    )
    assert (settings.host, settings.port) == ("pi", 8883)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("prot", "port"), ("hots", "host"), ("keepalive", "keepalive_s"), ("ca", "ca_")],
)
def test_an_unknown_key_is_answered_with_the_nearest(
    tmp_path: Path, written: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as error:
        document(tmp_path, f"[broker]\n{written} = 1").table("broker", BrokerSettings)
    assert f"[broker]: unknown key '{written}'" in str(error.value)
    assert meant in str(error.value)
    assert "pirack.toml" in str(error.value)


def test_a_key_like_no_other_is_answered_with_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"known: .*port"):
        document(tmp_path, "[broker]\nzzz = 1").table("broker", BrokerSettings)


@pytest.mark.parametrize("line", ["port = 'x'", "port = 0", "port = 70000"])
def test_a_wrong_value_names_its_key(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"\[broker\].*port"):
        document(tmp_path, f"[broker]\n{line}").table("broker", BrokerSettings)


def test_an_unknown_table_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'broker'"):
        document(tmp_path, "[borker]").require_known(["rack", "broker"])


@pytest.mark.parametrize("line", ["rack = 3", "rack = [1]", "rack = 'lab'"])
def test_what_should_be_a_table_says_how_to_write_one(
    tmp_path: Path, line: str
) -> None:
    with pytest.raises(ConfigError, match=r"rack is a table: write \[rack\]"):
        document(tmp_path, line).require_known(["rack"])


def test_a_file_that_is_no_text_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "pirack.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(path)


def test_rows_are_counted_from_one(tmp_path: Path) -> None:
    text = "[[node]]\nname = 'a'\n[[node]]\nnmae = 'b'"
    with pytest.raises(ConfigError, match=r"\[\[node\]\] number 2.*did you mean 'name"):
        document(tmp_path, text).rows("node", RackSettings)


def test_a_table_where_rows_belong_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"write \[\[node\]\], not \[node\]"):
        document(tmp_path, "[node]").rows("node", RackSettings)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
        load(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        document(tmp_path, "[rack")


def test_a_value_of_the_wrong_type_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        document(tmp_path, "[broker]\nport = 'x'").table("broker", BrokerSettings)
    assert str(error.value).endswith("[broker]: port: Expected `int`, got `str`")
