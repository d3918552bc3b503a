from node_agent.schedule import next_beat


def test_beats_keep_their_pace_whatever_each_one_costs() -> None:
    assert next_beat(100.0, 100.3, 10.0) == 110.0


def test_missed_beats_are_skipped_not_sent_in_a_burst() -> None:
    assert next_beat(100.0, 5000.0, 10.0) == 5010.0
