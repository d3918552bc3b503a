"""Namespaces for each test, and none of them left behind."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import in_memory
from tests.system.provisioning_netns.lab import Lab
from tests.system.provisioning_netns.leftovers import leftovers

PROGRAMS = (
    *("ip", "dnsmasq", "dhcpd", "kea-dhcp4"),
    *("udhcpc", "dhcpcd", "dhclient", "NetworkManager", "dbus-daemon"),
)
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _why_not() -> str:
    """Return why no lab can be built here; empty: it can.

    Root is never skipped but for a program that is not installed.
    """
    if os.geteuid() != 0:
        return "network namespaces need root: sudo make test"
    missing = [one for one in PROGRAMS if shutil.which(one, path=PATH) is None]
    if missing and os.environ.get("CI") != "true":
        return f"not installed: {', '.join(missing)} (tests/system/packages.txt)"
    return ""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: every turn of a run is on disk before it goes on."""
    with in_memory.folder() as folder:
        yield folder


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A rack's network that is gone, with all that ran on it, when the test is over."""
    reason = _why_not()
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv("PATH", PATH)
    lab = Lab(tmp_path)
    try:
        lab.open()
        yield lab
    finally:
        lab.close()
    assert leftovers(lab) == []
