"""``[simulator]``, the passwords it names, and the boards it means."""

import ipaddress
import json
from pathlib import Path

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from node_agent.simulator.settings import (
    MAX_BOARDS,
    BoardPlace,
    SimulatorSettings,
    boards,
)


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


def test_a_board_is_named_by_its_place_and_identified_by_its_serial() -> None:
    place = BoardPlace(3, 1)
    assert place.name == "s03n1"
    assert place.serial == "0000000051000301"
    assert place.id == "pi-51000301"
    assert place.address == "127.77.3.1"


def test_boards_are_listed_stack_by_stack() -> None:
    assert boards(2, 2) == (
        BoardPlace(1, 1),
        BoardPlace(1, 2),
        BoardPlace(2, 1),
        BoardPlace(2, 2),
    )


def test_no_two_boards_of_a_large_rack_share_anything() -> None:
    places = boards(600, MAX_BOARDS)
    for part in ("id", "name", "address"):
        assert len({getattr(place, part) for place in places}) == len(places)


@pytest.mark.parametrize("stack", [1, 255, 256, 9999])
def test_every_address_is_in_the_loopback_range_of_the_simulation(stack: int) -> None:
    network = ipaddress.ip_network("127.64.0.0/10")
    assert ipaddress.ip_address(BoardPlace(stack, MAX_BOARDS).address) in network
    assert ipaddress.ip_address(BoardPlace(stack, 2 * MAX_BOARDS).address) in network


def test_a_rack_that_no_topic_could_address_is_refused() -> None:
    with pytest.raises(ValueError, match="stacks is 10000; give 0 to 9999"):
        boards(10_000, 4)
    with pytest.raises(ValueError, match="boards in a stack is 0; give 1 to 64"):
        boards(1, 0)
