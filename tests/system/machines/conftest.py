"""The laboratory: machines that every story of this folder can use."""

import os

import pytest

from tests.system.machines import debian


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs a program or right that is missing, and says which.

    In CI nothing may skip.
    """
    reason = debian.missing()
    if not reason or os.environ.get("CI") == "true":
        return
    for item in items:
        if "machines" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))
