"""What is remembered in memory, and what across a reboot."""

import logging
import threading
from pathlib import Path

import pytest

from broker.common import atomic
from node_agent.order_memory import KEPT_ON_DISK, REMEMBERED, OrderMemory, volatile_file


def test_an_id_is_new_once() -> None:
    memory = OrderMemory()
    assert not memory.seen("a")
    assert memory.seen("a")


def test_the_oldest_of_many_is_forgotten() -> None:
    memory = OrderMemory()
    for number in range(REMEMBERED + 1):
        memory.seen(str(number))
    assert memory.seen(str(REMEMBERED))
    assert not memory.seen("0")


def test_an_id_that_comes_again_stays_longer() -> None:
    memory = OrderMemory()
    memory.seen("a")
    for number in range(REMEMBERED - 1):
        memory.seen(str(number))
    assert memory.seen("a")
    memory.seen("one more")
    assert memory.seen("a")


def test_a_kept_id_is_known_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state" / "orders.json"
    OrderMemory.load(file).keep("reboot-1")
    assert OrderMemory.load(file).seen("reboot-1")


def test_only_the_last_few_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    memory = OrderMemory.load(file)
    for number in range(KEPT_ON_DISK + 1):
        memory.keep(str(number))
    again = OrderMemory.load(file)
    assert not again.seen("0")
    assert again.seen("1")


def test_looking_writes_nothing(tmp_path: Path) -> None:
    memory = OrderMemory.load(tmp_path / "orders.json")
    memory.seen("a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"destructive": 5}', b"\xff", b"\0" * 64, b"[" * 100_000]
)
def test_a_broken_file_is_loud_and_put_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "orders.json"
    file.write_bytes(content)
    assert not OrderMemory.load(file).seen("a")
    assert (tmp_path / "orders.broken").read_bytes() == content
    assert caplog.records[0].levelno == logging.ERROR


def test_a_broken_file_on_a_card_that_takes_no_writes_is_loud_and_not_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "orders.json"
    file.write_bytes(b"")

    def refuse(path: Path, target: Path) -> None:
        raise OSError(30, "Read-only file system", str(path), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    assert not OrderMemory.load(file).seen("a")
    assert "cannot be put aside (Read-only file system)" in caplog.text


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"RUNTIME_DIRECTORY": "/run/pirack-agent"}, "/run/pirack-agent/orders.json"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/orders.json"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/pirack-agent/orders.json"),
    ],
)
def test_what_stands_in_for_the_disk_is_below_run(
    environment: dict[str, str], found: str
) -> None:
    assert str(volatile_file(environment)) == found


def test_an_unreadable_path_is_loud_and_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    OrderMemory.load(tmp_path)  # a directory
    assert "a reboot may be obeyed twice" in caplog.text


def test_two_ids_kept_at_once_are_both_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    entered, late = threading.Event(), threading.Event()

    def replace(path: Path, content: bytes) -> None:
        if not entered.is_set():
            entered.set()
            late.wait(0.05)  # time for the other one to pass by, if it could
        atomic.replace(path, content)

    memory = OrderMemory(file, replace=replace)
    first = threading.Thread(target=memory.keep, args=("reboot-1",))
    first.start()
    assert entered.wait(5)
    memory.keep("update-2")
    late.set()
    first.join()
    kept = OrderMemory.load(file)
    assert kept.seen("reboot-1")
    assert kept.seen("update-2")
