import math

import pytest

from bench.figures import (
    Figure,
    at_least_share,
    at_most,
    notes,
    percentile,
    shown,
    table,
)


def figure(**fields: object) -> Figure:
    values = {"case": "agent", "what": "memory", "ours": 12.0, "unit": "MB"}
    return Figure(**{**values, **fields})  # type: ignore[arg-type]  # fields of the test


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "B", "0 B"),
        (3.14159, "ms", "3.14 ms"),
        (45_300.4, "msg/s", "45,300 msg/s"),
        (0.000_01, "s", "0 s"),
        (12.0, "", "12"),
        (math.inf, "ms", "none"),
    ],
)
def test_a_value_is_shown_with_three_digits_and_its_unit(
    value: float, unit: str, text: str
) -> None:
    assert shown(value, unit) == text


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0, 3.0], 50) == 2


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)


def test_a_figure_on_the_bound_holds() -> None:
    assert figure(target=at_most(12)).holds is True
    assert figure(target=at_most(11.9)).holds is False


def test_a_figure_without_a_target_neither_holds_nor_fails() -> None:
    assert figure().holds is None


def test_a_share_is_of_the_rival_in_the_same_run() -> None:
    target = at_least_share(0.75, "bare")
    assert figure(ours=75, beside={"bare": 100.0}, target=target).holds is True
    assert figure(ours=74, beside={"bare": 100.0}, target=target).holds is False


def test_the_table_names_rival_target_and_verdict() -> None:
    text = table([figure(ours=20, beside={"psmqtt": 25.8}, target=at_most(18))])
    head, rule, row = text.splitlines()
    assert head.startswith("| case ")
    assert set(rule) == {"|", "-"}
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["agent", "memory", "20 MB", "psmqtt 25.8 MB", "≤ 18 MB", "NO"]


def test_only_figures_with_a_note_are_explained() -> None:
    text = notes([figure(), figure(what="CPU", note="over a minute")])
    assert text == "- agent, CPU: over a minute"
