import os
from pathlib import Path

import pytest

from bench import process


def test_our_own_process_has_used_time_and_memory() -> None:
    pid = os.getpid()
    assert process.cpu_s(pid) > 0
    assert process.rss_bytes(pid) > process.pss_bytes(pid) / 2 > 0


def test_alone_is_more_than_shared_and_less_than_everything() -> None:
    pid = os.getpid()
    # A page may come or go between two readings.
    assert process.pss_bytes(pid) * 0.99 < process.alone_bytes(pid)
    assert process.alone_bytes(pid) < process.rss_bytes(pid) * 1.01


def test_a_byte_given_to_write_is_counted(tmp_path: Path) -> None:
    pid = os.getpid()
    before = process.passed_to_write_bytes(pid)
    (tmp_path / "file").write_bytes(b"x" * 5000)
    assert process.passed_to_write_bytes(pid) - before >= 5000


def test_a_line_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "io"
    path.write_text("rchar: 1\n")
    with pytest.raises(LookupError, match="wchar"):
        process._number(path, "wchar")  # noqa: SLF001  # the parser all readers share
