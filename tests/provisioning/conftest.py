"""Fixtures of the tests of provisioning."""

from collections.abc import Callable

import pytest

from provisioning.run.state import RunPace
from tests.provisioning.harness import Rig


@pytest.fixture
def new_rig() -> Callable[..., Rig]:
    return Rig


@pytest.fixture
def quick() -> RunPace:
    """Waiting times of a test in real time."""
    return RunPace(
        settle_s=0.01,
        baseline_s=0.02,
        quiet_s=0.02,
        window_s=1.0,
        probe_s=0.01,
        retry_s=0.02,
        stagger_s=0.0,
        verify_s=2.0,
    )
