import pytest

from broker.contract.messages import Verdict
from dashboard.live.model import Record
from dashboard.live.search import MAX_QUERY_CHARACTERS, parse
from dashboard.server.settings import Thresholds
from tests.dashboard.conftest import Harness


@pytest.fixture
def node(harness: Harness) -> Record:
    record = harness.node()
    harness.beat(temperature_c=72, cpu_percent=88, load=(3.5, 1, 1))
    record.judge(Thresholds(), 0)
    return record


@pytest.mark.parametrize(
    "query",
    [
        "",
        "s01",
        "S01N1",
        "raspberry",
        "10.0.1",
        "dca6",
        "dc:a6:32",
        "32-01",
        "abcd0001",
        "gpu",
        "nope|gpu",
        "id:pi-1",
        "name:s01n1",
        "host:raspberrypi",
        "ip:10.0",
        "mac:dca632010203",
        "mac:DC:A6",
        "serial:abcd",
        "tag:gpu",
        "tag:x|gpu",
        "stack:1",
        "stack:4|1",
        "state:warn",
        "state:ok|warn",
        "verdict:online",
        "temp:>70",
        "temp:>=72",
        "temp:72",
        "temp:<80",
        "cpu:>80 temp:>70",
        "load:>3",
        "mem:<=31",
    ],
)
def test_a_node_is_found_by(node: Record, query: str) -> None:
    compiled = parse(query)

    assert compiled.hint == ""
    assert compiled.matches(node)


@pytest.mark.parametrize(
    "query",
    [
        "s02",
        "gpu s02",
        "tag:gp",
        "stack:11",
        "stack:none",
        "state:offline",
        "temp:>72",
        "cpu:>=99",
        "ip:192.",
        "mac:ffff",
        "verdict:on",
    ],
)
def test_a_node_is_not_found_by(node: Record, query: str) -> None:
    assert not parse(query).matches(node)


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("colour:red", "“colour:” is unknown; try id:, name:"),
        ("state:broken", "state “broken” is unknown; try ok, warn"),
        ("temp:hot", "needs a number, for example temp:>70"),
        ("temp:>", "needs a number"),
        ("stack:top", "stack “top” must be a number"),
        ("tag:", "needs a value"),
        ("|", "names nothing"),
    ],
)
def test_a_term_without_sense_is_told_and_hides_nothing(
    node: Record, query: str, hint: str
) -> None:
    compiled = parse(query)

    assert hint in compiled.hint
    assert compiled.matches(node)


def test_what_makes_sense_beside_nonsense_still_counts(node: Record) -> None:
    compiled = parse("nonsense:1 s02")

    assert compiled.hint
    assert not compiled.matches(node)


def test_a_silent_node_has_no_temperature_to_compare(harness: Harness) -> None:
    record = harness.node(verdict=Verdict.LOST)
    record.judge(Thresholds(), 0)

    assert not parse("temp:>0").matches(record)
    assert parse("state:offline").matches(record)


def test_an_endless_query_is_cut() -> None:
    assert len(parse("a " * 10_000).tests) == MAX_QUERY_CHARACTERS / 2
