"""The random messages of the tests are messages: most of them can be read."""

from broker.contract.protocol_doc import TOPICS
from tests.random_messages import RandomMessages, shares


def test_more_than_half_of_each_kind_can_be_read_and_some_cannot() -> None:
    random_ = RandomMessages(seed=1)
    by_kind = shares([random_.next() for _ in range(6_000)])
    assert set(by_kind) == {row.payload.__name__ for row in TOPICS}
    assert min(by_kind.values()) >= 0.5, by_kind
    assert max(by_kind.values()) < 1.0, by_kind


def test_the_same_seed_makes_the_same_messages() -> None:
    first, second = RandomMessages(seed=2), RandomMessages(seed=2)
    assert [first.next() for _ in range(100)] == [second.next() for _ in range(100)]
