"""Which board stands where: stable addresses, names and places."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contract.messages import InstallVerdict
from provisioning.common.errors import SubnetError
from provisioning.run.plan import (
    AddressLayout,
    Place,
    Settled,
    Sighting,
    StackPlan,
    prepare,
    settle,
    swap,
)

LAYOUT = AddressLayout(first="10.0.0.10", per_stack=4)
STACKS = tuple(StackPlan(number, 4) for number in (1, 2, 3))
EMPTY = prepare((), LAYOUT, STACKS)


def seen(*macs: str) -> dict[str, Sighting]:
    return {mac: Sighting(mac=mac) for mac in macs}


def commit(places: tuple[Place, ...], stack: int, *macs: str) -> tuple[Place, ...]:
    return settle(places, STACKS[stack - 1], seen(*macs), {}).places


def at(places: tuple[Place, ...]) -> dict[str, str]:
    return {place.name: place.mac for place in places if place.mac}


def test_addresses_follow_the_stacks_and_slots() -> None:
    assert [place.address for place in EMPTY][:5] == [
        "10.0.0.10",
        "10.0.0.11",
        "10.0.0.12",
        "10.0.0.13",
        "10.0.0.14",
    ]
    assert EMPTY[-1].name == "s03n4"


def test_an_address_once_given_survives_a_larger_layout() -> None:
    wider = AddressLayout(first="10.0.0.10", per_stack=6)
    places = prepare(EMPTY, wider, (*STACKS, StackPlan(4, 6)))
    assert places[: len(EMPTY)] == EMPTY
    addresses = [place.address for place in places]
    assert len(addresses) == len(set(addresses))


def test_an_address_that_is_taken_is_passed_over() -> None:
    first = msgspec.structs.replace(EMPTY[0], address="10.0.0.18")
    places = prepare((first,), LAYOUT, STACKS)
    assert places[8].name == "s03n1"
    assert places[8].address == "10.0.0.19"


def test_new_boards_fill_a_stack_in_the_order_of_their_addresses() -> None:
    assert at(commit(EMPTY, 2, "c", "a", "b")) == {
        "s02n1": "a",
        "s02n2": "b",
        "s02n3": "c",
    }


def test_a_vanished_board_is_replaced_before_an_empty_slot_is_filled() -> None:
    places = commit(EMPTY, 1, "a", "b", "c")
    settled = settle(places, STACKS[0], seen("a", "c", "z"), {})
    assert at(settled.places) == {"s01n1": "a", "s01n2": "z", "s01n3": "c"}
    assert settled.replaced == {"s01n2": "b"}


def test_a_replaced_board_takes_no_serial_of_the_old_one_over() -> None:
    board = Sighting(mac="a", serial="51000101", model="Raspberry Pi 4")
    places = settle(EMPTY, STACKS[0], {"a": board}, {}).places
    assert places[0].serial == "51000101"
    again = commit(places, 1, "a")
    assert again[0].serial == "51000101"
    assert not commit(places, 1, "b")[0].serial


def test_a_board_seen_in_two_stacks_keeps_the_first_place_and_is_named() -> None:
    places = commit(EMPTY, 1, "a", "b")
    settled = settle(places, STACKS[1], seen("b", "c"), {1: ("a", "b")})
    assert settled.doubled == {"b": 1}
    assert at(settled.places) == {"s01n1": "a", "s01n2": "b", "s02n1": "c"}
    assert settled.places[1].verdict is InstallVerdict.IN_TWO_STACKS


def test_a_board_too_many_is_overfull() -> None:
    settled = settle(EMPTY, STACKS[0], seen("a", "b", "c", "d", "e"), {})
    assert settled.overfull == ("e",)
    assert not settled.moved
    late = {"a": Sighting(mac="a", after_s=9.0)}
    settled = settle(EMPTY, STACKS[0], seen("a", "b", "c", "d", "e") | late, {})
    assert settled.overfull == ("a",), "it asked last"


def test_two_slots_can_be_swapped_and_an_unknown_one_is_refused() -> None:
    places = swap(commit(EMPTY, 1, "a", "b"), "s01n1", "s01n2")
    assert at(places) == {"s01n1": "b", "s01n2": "a"}
    assert [place.address for place in places] == [place.address for place in EMPTY]
    with pytest.raises(SubnetError, match="there is no slot 's09n9'"):
        swap(places, "s01n1", "s09n9")


racks = st.lists(
    st.tuples(
        st.integers(1, 3), st.sets(st.sampled_from("abcdefghijklmno"), max_size=6)
    ),
    max_size=12,
)


@given(racks)
def test_whatever_is_scanned_no_board_has_two_places_and_no_place_moves(
    scans: list[tuple[int, set[str]]],
) -> None:
    places = EMPTY
    scanned: dict[int, tuple[str, ...]] = {}
    for stack, macs in scans:
        others = {n: m for n, m in scanned.items() if n != stack}
        settled = settle(places, STACKS[stack - 1], seen(*macs), others)
        _nobody_is_lost(settled, stack, macs)
        places = settled.places
        scanned[stack] = tuple(sorted(macs - settled.doubled.keys()))
        boards = [place.mac for place in places if place.mac]
        assert len(boards) == len(set(boards))
        assert [(p.address, p.name) for p in places] == [
            (p.address, p.name) for p in EMPTY
        ]


def _nobody_is_lost(settled: Settled, stack: int, macs: set[str]) -> None:
    placed = {p.mac for p in settled.places if p.stack == stack and p.mac in macs}
    assert placed | settled.doubled.keys() | set(settled.overfull) == macs
