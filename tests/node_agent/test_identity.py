import pytest

from broker.errors import ConfigError
from node_agent.identity import node_id


def test_the_id_is_the_end_of_the_boards_serial() -> None:
    assert node_id("10000000A1B2C3D4", ("dc:a6:32:01:02:03",)) == "pi-a1b2c3d4"


def test_without_a_serial_it_is_the_end_of_the_first_hardware_address() -> None:
    assert node_id("", ("dc:a6:32:01:02:03", "dc:a6:32:01:02:04")) == "pi-32010203"


def test_a_serial_of_zeros_is_none() -> None:
    assert node_id("0000000000000000", ("dc:a6:32:01:02:03",)) == "pi-32010203"


def test_with_neither_a_person_must_choose() -> None:
    with pytest.raises(ConfigError, match=r"set \[agent\] id"):
        node_id("", ())
