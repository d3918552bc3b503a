"""What the boards of a simulated rack are called."""

import ipaddress

import pytest

from node_agent.simulator.layout import MAX_BOARDS, Place, boards


def test_a_board_is_named_by_its_place_and_identified_by_its_serial() -> None:
    place = Place(3, 1)
    assert place.name == "s03n1"
    assert place.serial == "0000000051000301"
    assert place.id == "pi-51000301"
    assert place.address == "127.77.3.1"


def test_boards_are_listed_stack_by_stack() -> None:
    assert boards(2, 2) == (Place(1, 1), Place(1, 2), Place(2, 1), Place(2, 2))


def test_no_two_boards_of_a_large_rack_share_anything() -> None:
    places = boards(600, MAX_BOARDS)
    for part in ("id", "name", "address"):
        assert len({getattr(place, part) for place in places}) == len(places)


@pytest.mark.parametrize("stack", [1, 255, 256, 9999])
def test_every_address_is_in_the_loopback_range_of_the_simulation(stack: int) -> None:
    network = ipaddress.ip_network("127.64.0.0/10")
    assert ipaddress.ip_address(Place(stack, MAX_BOARDS).address) in network
    assert ipaddress.ip_address(Place(stack, 2 * MAX_BOARDS).address) in network


def test_a_rack_that_no_topic_could_address_is_refused() -> None:
    with pytest.raises(ValueError, match="stacks is 10000; give 0 to 9999"):
        boards(10_000, 4)
    with pytest.raises(ValueError, match="boards in a stack is 0; give 1 to 64"):
        boards(1, 0)
