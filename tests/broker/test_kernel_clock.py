"""Whether the clock is set: from timesyncd where it runs, else from the kernel."""

from pathlib import Path

from broker.common import kernel_clock


def test_what_timesyncd_set_is_set_without_asking_the_kernel(tmp_path: Path) -> None:
    stamp = tmp_path / "synchronized"
    stamp.touch()
    assert kernel_clock.synced(stamp) is True


def test_without_timesyncd_the_kernel_is_asked(tmp_path: Path) -> None:
    assert kernel_clock.synced(tmp_path / "none") in {True, False, None}
