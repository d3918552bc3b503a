"""A server that is a unit of systemd, with a systemctl of the test's own."""

from pathlib import Path

import pytest

from provisioning.backends.daemon import ChildDaemon, SystemdDaemon
from provisioning.common.errors import BackendError

pytestmark = pytest.mark.system

SYSTEMCTL = """#!/bin/sh
echo "$@" >>"{said}"
if [ "$3" = other.service ]; then
    echo "Interactive authentication required." >&2
    exit 1
fi
"""


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """A systemctl that writes down what it is told, and knows one unit of ours."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL.format(said=tmp_path / "said"))
    program.chmod(0o755)
    return program


async def test_a_unit_begins_anew_with_the_master_and_is_left_running(
    systemctl: Path,
) -> None:
    unit = SystemdDaemon("pirack-dhcp.service", str(systemctl), lambda: True)
    await unit.start()
    await unit.reload()
    assert await unit.alive()
    await unit.stop()
    said = systemctl.with_name("said").read_text().splitlines()
    assert [line.split()[1] for line in said] == ["restart", "reload", "is-active"]


async def test_a_unit_of_somebody_else_is_refused_in_the_words_of_systemd(
    systemctl: Path,
) -> None:
    unit = SystemdDaemon("other.service", str(systemctl), lambda: True)
    with pytest.raises(BackendError, match="Interactive authentication required"):
        await unit.start()


async def test_a_unit_that_starts_and_does_not_serve_is_an_error(
    systemctl: Path,
) -> None:
    unit = SystemdDaemon(
        "pirack-dhcp.service", str(systemctl), lambda: False, ready_s=0.05
    )
    with pytest.raises(BackendError, match="see: journalctl -u pirack-dhcp"):
        await unit.start()


async def test_a_systemctl_that_hangs_is_ended_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.backends.daemon.SYSTEMCTL_S", 0.1)
    hanging = tmp_path / "systemctl"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    unit = SystemdDaemon("pirack-dhcp.service", str(hanging))
    with pytest.raises(BackendError, match=r"reload .* did not end within 0\.1 s"):
        await unit.reload()


async def test_without_systemd_the_reason_is_told(tmp_path: Path) -> None:
    unit = SystemdDaemon("x.service", str(tmp_path / "systemctl"))
    assert not await unit.alive()
    with pytest.raises(BackendError, match="No such file"):
        await unit.start()


async def test_a_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    child = ChildDaemon(["/bin/sh", "-c", "echo out of cheese; exit 3"], tmp_path)
    with pytest.raises(BackendError, match="does not serve: out of cheese"):
        await child.start()
    assert not await child.alive()
    with pytest.raises(BackendError, match="is not running"):
        await child.reload()
    await child.stop()
    await child.stop()
