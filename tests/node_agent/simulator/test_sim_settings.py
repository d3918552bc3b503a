"""``[simulator]`` and the passwords it names."""

import json
from pathlib import Path

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from node_agent.simulator.settings import SimulatorSettings


def settings(**table: object) -> SimulatorSettings:
    return Document({"simulator": table}).table("simulator", SimulatorSettings)


def test_without_a_table_the_rack_is_twelve_stacks_of_four() -> None:
    assert len(settings().places) == 48
    assert settings().passwords() == {}


def test_faults_are_read_once_at_the_start() -> None:
    (request,) = settings(faults=["crash s01n1 for=3"]).requests()
    assert request.target == "s01n1"
    with pytest.raises(ConfigError, match="unknown fault 'boom'"):
        settings(faults=["boom s01n1"]).requests()


def test_a_misspelt_key_names_the_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'echo_port'"):
        settings(echo_prt=7)


def test_every_board_needs_a_password_once_there_are_any(tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    file.write_text(json.dumps({"pi-51000101": "a"}))
    one = settings(stacks=1, boards=1, credentials=str(file))
    assert one.passwords() == {"pi-51000101": "a"}
    with pytest.raises(ConfigError, match=r"no password for pi-51000102 and 0 other"):
        settings(stacks=1, boards=2, credentials=str(file)).passwords()


@pytest.mark.parametrize("content", ["[]", "{", '{"pi-51000101": 7}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "nodes.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match="must be JSON"):
        settings(credentials=str(file)).passwords()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nodes\.json: cannot be read"):
        settings(credentials=str(tmp_path / "nodes.json")).passwords()
