from bench import feeder
from bench.feeder import delays_s


def test_a_number_belongs_to_the_last_heartbeat_that_carried_it() -> None:
    sent = [(10.0, 1, 40), (40.0, 1, 40)]
    assert delays_s(sent, [(40.2, 1, 40)]) == [40.2 - 40.0]
    assert delays_s(sent, [(39.0, 1, 40)]) == [29.0]


def test_a_number_of_another_node_is_not_taken_for_it() -> None:
    assert delays_s([(10.0, 2, 40)], [(10.1, 1, 40)]) == []


def test_a_number_seen_before_it_was_sent_is_left_out() -> None:
    assert delays_s([(10.0, 1, 40)], [(9.9, 1, 40)]) == []


def test_each_heartbeat_of_a_node_has_another_temperature_than_the_one_before() -> None:
    for node in range(100):
        row = [feeder.temperature(node, seq) for seq in range(feeder.TEMPERATURES)]
        assert len(set(row)) == feeder.TEMPERATURES
        assert max(row) < 70
