"""What MQTT 5 carries beside a payload."""

import pytest

from broker.client.wire import packets


@pytest.mark.parametrize(
    ("asked_s", "carried_s"), [(0.2, 1), (30.0, 30), (1e308, 2**32 - 1)]
)
def test_any_time_to_live_makes_a_packet(asked_s: float, carried_s: int) -> None:
    properties = packets.for_publish(expiry_s=asked_s)
    assert properties is not None
    packed = properties.pack()  # type: ignore[no-untyped-call]  # paho types no properties
    assert int.from_bytes(packed[-4:], "big") == carried_s
