"""Who a board is called after: the configuration, a person, then where it was found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from broker.contract.messages import Details
from broker.contract.topics import Topics
from master_service.rack.events import Outbox
from master_service.rack.layout import Placement
from master_service.rack.node import RackNode
from master_service.rack.registry import Registry
from master_service.rack.settings import NodeRow
from provisioning.run.plan import Place

MACS = {name: f"dc:a6:32:00:00:0{n}" for n, name in enumerate("abc")}
Where = tuple[str, int | None, int | None]


def place(stack: int, slot: int, mac: str = "") -> Place:
    name = f"s{stack:02}n{slot}"
    return Place(
        stack=stack, slot=slot, address=f"10.0.{stack}.{slot}", name=name, mac=mac
    )


def where(node: RackNode) -> Where:
    return node.name, node.stack, node.slot


def placement(registry: Registry, configured: Collection[str]) -> Placement:
    return Placement(registry, [NodeRow(id=one) for one in configured], Outbox())


def seat(
    registry: Registry, places: Sequence[Place], configured: Collection[str]
) -> list[RackNode]:
    return placement(registry, configured).seat(places)


@pytest.fixture
def registry() -> Registry:
    """Three boards that talk and were never placed."""
    registry = Registry(Topics("lab"))
    for name, mac in MACS.items():
        node = registry.add(f"pi-{name}")
        node.details = Details(
            session="s",
            boot_id="b",
            hostname="raspberrypi",
            interval_s=10.0,
            agent_version="1",
            macs=(mac.upper().replace(":", "-"),),
            ts=0.0,
        )
    return registry


def node(registry: Registry, name: str) -> RackNode:
    return registry.nodes[f"pi-{name}"]


def test_a_board_is_called_after_the_slot_it_was_found_in(registry: Registry) -> None:
    moved = seat(registry, [place(1, 1, MACS["a"]), place(1, 2)], ())
    assert [one.id for one in moved] == ["pi-a"]
    assert where(node(registry, "a")) == ("s01n1", 1, 1)
    assert registry.find("s01n1") is node(registry, "a")
    assert registry.in_stack(1) == [node(registry, "a")]
    assert not seat(registry, [place(1, 1, MACS["a"]), place(1, 2)], ())


def test_a_board_that_was_replaced_gives_name_and_place_to_the_new_one(
    registry: Registry,
) -> None:
    seat(registry, [place(1, 1, MACS["a"])], ())
    seat(registry, [place(1, 1, MACS["b"])], ())
    assert where(node(registry, "b")) == ("s01n1", 1, 1)
    assert where(node(registry, "a")) == ("pi-a", None, None)


def test_two_boards_change_places(registry: Registry) -> None:
    seat(registry, [place(1, 1, MACS["a"]), place(1, 2, MACS["b"])], ())
    seat(registry, [place(1, 1, MACS["b"]), place(1, 2, MACS["a"])], ())
    assert where(node(registry, "a")) == ("s01n2", 1, 2)
    assert where(node(registry, "b")) == ("s01n1", 1, 1)


def test_what_a_person_or_the_configuration_said_stays(registry: Registry) -> None:
    registry.rename(node(registry, "a"), "web")
    registry.move(node(registry, "b"), 7, 3)
    found = [place(1, n + 1, mac) for n, mac in enumerate(MACS.values())]
    assert not seat(registry, found, {"pi-c"})
    assert where(node(registry, "a")) == ("web", None, None)
    assert where(node(registry, "b")) == ("pi-b", 7, 3)
    assert where(node(registry, "c")) == ("pi-c", None, None)


def test_tags_are_no_word_about_name_and_place(registry: Registry) -> None:
    registry.retag(node(registry, "a"), ["web"])
    seat(registry, [place(1, 1, MACS["a"])], ())
    assert where(node(registry, "a")) == ("s01n1", 1, 1)


def test_a_taken_name_is_left_to_who_has_it_and_the_place_given(
    registry: Registry,
) -> None:
    registry.rename(node(registry, "a"), "s01n1")
    seat(registry, [place(1, 1, MACS["b"])], ())
    assert where(node(registry, "b")) == ("pi-b", 1, 1)


def test_a_restart_remembers_who_gave_the_name(registry: Registry) -> None:
    seat(registry, [place(1, 1, MACS["a"])], ())
    record = registry.record(node(registry, "a"))
    again = Registry(Topics("lab"))
    again.restore((record,), ())
    assert again.nodes["pi-a"].seated
    again.rename(again.nodes["pi-a"], "web")
    assert not again.nodes["pi-a"].seated


def test_places_that_people_told_are_where_a_run_looks_first(
    registry: Registry,
) -> None:
    registry.move(node(registry, "b"), 2, 4)
    seat(registry, [place(1, 1, MACS["a"])], ())
    assert placement(registry, ()).pins() == {MACS["b"]: (2, 4)}
    assert placement(registry, {"pi-a"}).pins() == {
        MACS["a"]: (1, 1),
        MACS["b"]: (2, 4),
    }
