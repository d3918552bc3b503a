import pytest

from bench.raw import publish_packet


def test_a_packet_is_header_topic_and_payload() -> None:
    assert publish_packet("a/b", b"hi") == b"\x30\x07\x00\x03a/bhi"


def test_a_retained_packet_says_so() -> None:
    assert publish_packet("a", b"", retain=True)[0] == 0x31


@pytest.mark.parametrize(
    ("size", "digits"), [(124, b"\x7f"), (125, b"\x80\x01"), (16_380, b"\xff\x7f")]
)
def test_the_length_takes_as_many_bytes_as_it_needs(size: int, digits: bytes) -> None:
    packet = publish_packet("a", b"x" * size)
    assert packet[1 : 1 + len(digits)] == digits
    assert len(packet) == 1 + len(digits) + 3 + size
