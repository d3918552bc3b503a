from broker.contract.messages import (
    EventKind,
    InstallStep,
    InstallVerdict,
    Phase,
    ScanPhase,
    ThrottleFlag,
)
from broker.contract.verbs import DESTRUCTIVE, WAVES
from dashboard.live.tile import State
from dashboard.pages.vocabulary import vocabulary

WORDS = vocabulary()


def test_every_state_has_a_label_a_rank_and_a_place_in_the_filter() -> None:
    keys = [state.name.lower() for state in State]

    assert [each["key"] for each in WORDS["states"]] == keys
    assert sorted(WORDS["severity"]) == sorted(WORDS["filterOrder"]) == list(State)


def test_every_value_of_the_contract_has_its_words() -> None:
    assert set(WORDS["kinds"]) == {kind.value for kind in EventKind} - {"other"}
    assert set(WORDS["phases"]) == {phase.value for phase in Phase}
    assert set(WORDS["throttleFlags"]) == {flag.value for flag in ThrottleFlag}
    scan = {phase.value for phase in ScanPhase} - {"other"}
    assert set(WORDS["install"]["phases"]) == scan
    assert set(WORDS["waves"]) <= {verb.value for verb in DESTRUCTIVE}
    assert WORDS["waves"] == WAVES


def test_every_step_and_verdict_of_an_install_run_has_its_words() -> None:
    install = WORDS["install"]
    steps = set(InstallStep) - {InstallStep.IDLE, InstallStep.OTHER}
    ends = {step for step in steps if step.over}

    assert set(install["over"]) == set(install["ends"]) == ends
    assert set(install["steps"]) == steps - ends
    staged = {step for stage in install["stages"] for step in stage["steps"]}
    assert staged == steps - ends - {InstallStep.RESTORE}
    said = set(InstallVerdict) - {InstallVerdict.UNKNOWN, InstallVerdict.OTHER}
    assert set(install["verdicts"]) == said
