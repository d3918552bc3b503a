"""What the master publishes fits 16 KiB, whatever the configuration and boards say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.common.config import MAX_STACKS, Document, RackSettings
from broker.common.errors import ConfigError
from broker.contract.messages import (
    EventKind,
    InstallStack,
    InstallStep,
    RackState,
    Verdict,
    encode,
)
from master_service.power.wiring import check
from master_service.rack.settings import parse
from provisioning.run import report
from provisioning.run.plan import AddressLayout, Place, StackPlan
from provisioning.run.state import InstallRun, Params
from tests.master_service.bench import T

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.master_service.bench import Bench

SAID = st.text(max_size=256)
"""What a board says its model and serial number are: any 256 characters."""


def test_the_state_of_the_largest_rack_fits() -> None:
    numbers = tuple(range(9999 - MAX_STACKS + 1, 10_000))
    state = RackState(
        rack="r" * 32,
        stacks=numbers,
        nodes=2**53,
        totals=dict.fromkeys(Verdict, 2**53),
        versions={"pirack": "1" * 64, "python": "3" * 64},
        frozen="x" * 256,
        rejected={f"InstallState.field_{n:030}": 2**53 for n in range(100)},
    )
    assert len(encode(state)) < 16_384


def test_more_stacks_than_that_are_refused() -> None:
    with pytest.raises(ConfigError, match="stacks"):
        parse(Document({"rack": {"stacks": MAX_STACKS + 1}}, "pirack.toml"))
    stack = [{"number": 5000}]
    settings = parse(Document({"rack": {"stacks": MAX_STACKS}, "stack": stack}, "x"))
    with pytest.raises(ConfigError, match=r"1000 stacks are configured.*at most 999"):
        check(settings)


@given(
    model=SAID,
    serial=SAID,
    count=st.integers(1, 64),
    step=st.sampled_from([InstallStep.SCAN, InstallStep.DONE, InstallStep.VERIFY]),
)
def test_a_stack_of_an_install_run_fits_whatever_its_boards_say(
    model: str, serial: str, count: int, step: InstallStep
) -> None:
    places = tuple(
        Place(
            stack=9999,
            slot=slot,
            name=f"s9999n{slot}",
            address=f"192.168.100.{100 + slot}",
            mac=f"aa:bb:cc:dd:ee:{slot:02x}",
            serial=serial,
            model=model,
        )
        for slot in range(1, count + 1)
    )
    plan = (StackPlan(9999, count),)
    layout = AddressLayout(first="192.168.100.101", per_stack=count)
    params = Params(stacks=plan, layout=layout, network="192.168.0.0/16")
    run = InstallRun(id="install-abcdef", params=params, places=places, step=step)
    (shown,) = report.stack_states(run, places, (9999,))
    assert isinstance(shown, InstallStack)
    assert len(shown.boards) == count
    encode(shown)


async def test_a_state_that_does_not_fit_is_counted_and_stops_no_tick(
    make_bench: Callable[..., Bench],
) -> None:
    # Too many for one message: no configuration file may say so.
    bench = make_bench(rack=RackSettings(name="lab", stacks=4000, boards=1), nodes=())
    await bench.master.start()
    await bench.calm()
    bench.master.rack.outbox.note(EventKind.SERVICE, "one line for the disk")
    for _ in range(3):
        bench.now += 60
        bench.master.tick()
    await bench.calm()
    assert bench.master._store.waiting == 0  # noqa: SLF001  # the end of the tick
    assert T.rack_state not in bench.broker.retained
    assert bench.master.rejections.counts["too large"] == 3


def test_a_struct_has_no_number_without_bounds() -> None:
    """Every number of the contract that comes from outside has an end."""
    from broker.contract import messages  # noqa: PLC0415  # every struct of it

    for name in messages.__all__:
        kind = getattr(messages, name)
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            continue
        schema = msgspec.json.schema_components((kind,))[1]
        for title, one in schema.items():
            for field, about in one.get("properties", {}).items():
                for part in [about, *about.get("anyOf", [])]:
                    if part.get("type") in {"integer", "number"}:
                        assert "maximum" in part, f"{title}.{field}"
                    if part.get("type") == "string":
                        assert "maxLength" in part, f"{title}.{field}"
