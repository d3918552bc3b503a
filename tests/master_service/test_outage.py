"""The broker was away: one incident, whoever is not back, and no word of the others."""

from broker.contract.messages import Verdict
from tests.master_service.incident_play import STACK, Play

V = Verdict


def test_an_outage_of_the_broker_is_one_incident_whoever_is_not_back() -> None:
    play = Play()
    play.incidents.link_down(0)
    assert play.incidents.outage == "i-100"
    play.until(120)
    play.incidents.link_up(120, grace_until=150)
    for node in play.registry.nodes.values():
        play.edge(node.name, V.UNKNOWN)
    for name in ("s03n1", "s03n2", "s03n3", "s03n4", "s02n1", "s02n2", "s02n3"):
        play.edge(name, V.ONLINE)
    play.until(151)
    for name in (*STACK, "s02n4"):
        assert play.edge(name, V.LATE) == "i-100"
        assert play.edge(name, V.LOST) == "i-100"
    play.until(160)
    away, missing = play.headlines
    assert away == (
        "i-100: the broker was away for 2 min; verdicts were frozen meanwhile"
    )
    assert missing == (
        "i-100: not back since the broker's outage: stack 1 (4 boards), s02n4"
    )
    for name in (*STACK, "s02n4"):
        assert play.edge(name, V.ONLINE) == "i-100"
    play.until(170)
    assert play.headlines[2:] == [
        "i-100: all boards are back since the broker's outage"
    ]
    assert play.incidents.outage == ""


def test_an_outage_that_all_survive_ends_by_itself() -> None:
    play = Play()
    play.incidents.link_down(0)
    play.incidents.link_up(5, grace_until=35)
    play.until(41)
    assert len(play.headlines) == 1
    assert play.incidents.outage == ""
    assert play.edge("s01n1", V.LATE) == "i-101"


def test_a_broker_that_comes_and_goes_within_the_grace_is_one_outage() -> None:
    play = Play()
    for at in (0, 10, 20):
        play.incidents.link_down(at)
        play.incidents.link_up(at + 5, grace_until=at + 35)
    assert {line.split(":")[0] for line in play.headlines} == {"i-100"}


def test_the_first_connection_is_no_outage() -> None:
    play = Play()
    play.incidents.link_up(1, grace_until=31)
    play.until(60)
    assert play.headlines == []
