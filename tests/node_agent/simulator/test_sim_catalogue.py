"""What invented boards say of themselves."""

from node_agent.simulator.catalogue import facts_of, make_of, twin_of
from node_agent.simulator.chance import mix
from node_agent.simulator.layout import Place, boards


def test_a_rack_is_a_mix_of_models() -> None:
    models = {make_of(mix(1, place.stack, place.slot)).model for place in boards(12, 4)}
    assert len(models) >= 4
    assert all(model.startswith("Raspberry Pi ") for model in models)


def test_hardware_addresses_are_raspberry_pi_ones_and_all_differ() -> None:
    places = boards(300, 4)
    macs = [
        facts_of(place, mix(1, place.stack, place.slot)).macs[0] for place in places
    ]
    assert len(set(macs)) == len(macs)
    assert {mac[:8] for mac in macs} <= {"b8:27:eb", "dc:a6:32", "e4:5f:01", "d8:3a:dd"}
    assert all(len(mac) == 17 for mac in macs)


def test_a_twin_has_the_serial_and_nothing_else() -> None:
    mine, theirs = facts_of(Place(2, 3), 5), twin_of(Place(2, 3), 5)
    assert theirs.serial == mine.serial
    assert theirs.hostname == "s02n3-clone"
    assert theirs.macs != mine.macs
    assert theirs.addresses != mine.addresses
