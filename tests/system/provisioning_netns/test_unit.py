"""A server that is a unit of systemd, with a systemctl of the test's own."""

from pathlib import Path

import pytest

from provisioning.backends.daemon import Child, Unit
from provisioning.errors import BackendError

pytestmark = pytest.mark.system

SYSTEMCTL = """#!/bin/sh
echo "$@" >>"{said}"
if [ "$2" = restart ]; then
    echo "Interactive authentication required." >&2
    exit 1
fi
"""


async def test_a_unit_is_told_by_systemctl_and_left_running(tmp_path: Path) -> None:
    said = tmp_path / "said"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL.format(said=said))
    systemctl.chmod(0o755)
    unit = Unit("pirack-dnsmasq.service", str(systemctl))
    await unit.start()
    await unit.reload()
    assert await unit.alive()
    with pytest.raises(BackendError, match="Interactive authentication required"):
        await unit.restart()
    await unit.stop()
    assert [line.split()[1] for line in said.read_text().splitlines()] == [
        "start",
        "reload",
        "is-active",
        "restart",
    ]


async def test_without_systemd_the_reason_is_told(tmp_path: Path) -> None:
    unit = Unit("x.service", str(tmp_path / "systemctl"))
    assert not await unit.alive()
    with pytest.raises(BackendError, match="No such file"):
        await unit.start()


async def test_a_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    child = Child(["/bin/sh", "-c", "echo out of cheese; exit 3"], tmp_path)
    with pytest.raises(BackendError, match="does not serve: out of cheese"):
        await child.start()
    assert not await child.alive()
    with pytest.raises(BackendError, match="is not running"):
        await child.reload()
    await child.stop()
    await child.stop()
