"""A rack without sockets for each test, and what makes more of them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.master_service.bench import Bench
from tests.master_service.power_lab import Lab


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A started master whose four boards have come."""
    bench = Bench(tmp_path)
    await bench.master.start()
    await bench.calm()
    await bench.all_come()
    bench.master.tick()
    await bench.calm()
    yield bench
    await bench.master.stop()


@pytest.fixture
async def make_bench(tmp_path: Path) -> AsyncIterator[Callable[..., Bench]]:
    """Makes benches that are not started; each is stopped at the end."""
    made: list[Bench] = []

    def make(**options: Any) -> Bench:  # noqa: ANN401  # passed on
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        await one.master.stop()


@pytest.fixture
def bench_class() -> type[Bench]:
    """What makes a bench, for a test that needs one for each of many runs."""
    return Bench


@pytest.fixture
async def make_lab() -> AsyncIterator[Callable[..., Lab]]:
    """Makes power labs; each is torn down at the end."""
    labs: list[Lab] = []

    def make(*args: int, **power: Any) -> Lab:  # noqa: ANN401  # any field of [power]
        labs.append(Lab(*args, **power))
        return labs[-1]

    yield make
    for lab in labs:
        await lab.close()
