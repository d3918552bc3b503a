"""Simulated racks that can be installed."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master_service.install.service import Setup
from tests import in_memory
from tests.master_service.install.site import Site, quick


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: every turn of a run is on disk before it goes on."""
    with in_memory.folder() as folder:
        yield folder


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**options: Any) -> Site:  # noqa: ANN401  # of Stage
        wanted = {"setup": Setup(settings=quick(tmp_path)), **options}
        made.append(Site(tmp_path, **wanted))
        return made[-1]

    yield make
    for site in made:
        await site.stop()


@pytest.fixture
async def site(make_site: Callable[..., Site]) -> Site:
    site = make_site()
    await site.start()
    return site
