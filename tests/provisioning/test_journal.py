"""The journal, the ledger, and the set of reservations."""

import base64
import zlib
from pathlib import Path

import msgspec
import pytest

from broker.contract.messages import InstallStep
from provisioning.backends.backend import Observe
from provisioning.backends.files import ReservationFile
from provisioning.common.errors import ConfigurationRefusedError, JournalError
from provisioning.common.subnet import Reservation, Subnet, difference, validate
from provisioning.journal import SqliteJournal
from provisioning.run import machine, texts
from provisioning.run.messages import SwitchStack
from provisioning.run.plan import AddressLayout, Place, StackPlan, prepare
from provisioning.run.state import InstallRun, Params

SUBNET = Subnet(
    interface="lo",
    address="10.0.0.1/24",
    first="10.0.0.10",
    pool_first="10.0.0.200",
    pool_last="10.0.0.250",
)
LAYOUT = AddressLayout(first=SUBNET.first, per_stack=2)
STACKS = (StackPlan(1, 2), StackPlan(2, 2))
PLACES = prepare((), LAYOUT, STACKS)
RUN = InstallRun(
    id="run-1",
    params=Params(stacks=STACKS, layout=LAYOUT, network="10.0.0.0/24"),
    places=PLACES,
    step=InstallStep.SCAN,
    turn=7,
    wake=float("inf"),
    scanned={1: ("a", "b")},
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def journal(folder: Path, clock: Clock | None = None) -> SqliteJournal:
    one = SqliteJournal(folder / "deep" / "install.sqlite", clock or Clock())
    one.open()
    return one


def with_macs(*macs: str) -> tuple[Place, ...]:
    return tuple(
        msgspec.structs.replace(place, mac=mac)
        for place, mac in zip(PLACES, macs, strict=True)
    )


async def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    first = journal(tmp_path)
    assert first.last() is None
    await first.save(RUN)
    first.close()
    first.close()
    again = journal(tmp_path)
    assert again.last() == RUN
    assert again.places() == PLACES
    again.close()


async def test_the_latest_run_is_the_one_that_began_last(tmp_path: Path) -> None:
    clock = Clock()
    one = journal(tmp_path, clock)
    await one.save(RUN)
    clock.now += 1
    later = RUN.with_(id="run-2")
    await one.save(later)
    clock.now += 1
    await one.save(RUN.with_(step=InstallStep.CANCELLED))
    assert one.last() == later
    one.close()


async def test_a_clock_that_was_set_back_hides_no_run(tmp_path: Path) -> None:
    clock = Clock()
    one = journal(tmp_path, clock)
    await one.save(RUN.with_(step=InstallStep.DONE))
    clock.now = 0.0  # a Pi that has not asked anybody for the time yet
    later = RUN.with_(id="run-2")
    await one.save(later)
    assert one.last() == later
    one.close()


async def test_a_full_disk_is_named_and_the_journal_works_again_after_it(
    tmp_path: Path,
) -> None:
    one = journal(tmp_path)
    await one.save(RUN)
    one._open.execute("PRAGMA max_page_count = 1")  # noqa: SLF001  # no page more
    much = RUN.with_(problems=("x" * 1000,) * 100)
    with pytest.raises(JournalError, match="disk is full"):
        await one.save(much)
    assert one.last() == RUN
    one._open.execute("PRAGMA max_page_count = 1000000")  # noqa: SLF001  # room again
    await one.save(much)
    assert one.last() == much
    one.close()


async def test_boards_can_exchange_places_but_not_share_one(tmp_path: Path) -> None:
    one = journal(tmp_path)
    await one.keep(with_macs("a", "b", "", ""))
    await one.keep(with_macs("b", "a", "", ""))
    with pytest.raises(JournalError, match=r"UNIQUE.*mac"):
        await one.save(RUN.with_(places=with_macs("a", "a", "", "")))
    assert one.last() is None
    assert [place.mac for place in one.places()] == ["b", "a", "", ""]
    one.close()


@pytest.mark.parametrize("torn", [b"", b"not a database" * 100, b"\0" * 4096])
def test_a_file_that_is_no_journal_is_put_aside_and_said(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "deep" / "install.sqlite"
    path.parent.mkdir()
    path.write_bytes(torn)
    one = journal(tmp_path)
    assert one.places() == ()
    one.close()
    aside = path.with_suffix(".broken")
    assert aside.read_bytes() == torn
    assert f"put aside as {aside}" in caplog.text


async def test_a_journal_with_torn_pages_is_put_aside(tmp_path: Path) -> None:
    one = journal(tmp_path)
    await one.save(RUN)
    one.close()
    path = tmp_path / "deep" / "install.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\0" * (len(whole) - 4096))
    one = journal(tmp_path)
    assert one.last() is None
    one.close()
    assert path.with_suffix(".broken").stat().st_size == len(whole)


def test_a_journal_of_another_version_is_not_touched(tmp_path: Path) -> None:
    one = journal(tmp_path)
    one._open.execute("PRAGMA user_version = 9")  # noqa: SLF001  # a later PiRack's
    one.close()
    with pytest.raises(JournalError, match="version 9; this PiRack reads 1"):
        journal(tmp_path)


async def test_places_are_read_once_and_are_those_that_were_written(
    tmp_path: Path,
) -> None:
    one = journal(tmp_path)
    await one.save(RUN.with_(places=tuple(reversed(PLACES))))
    again = journal(tmp_path)
    kept, statements = again.places(), list[str]()
    assert kept == one.places() == PLACES
    again._open.set_trace_callback(statements.append)  # noqa: SLF001  # what is read
    assert again.places() == kept
    assert statements == []
    changed = with_macs("b", "a", "", "")
    await again.keep(changed)
    assert again.places() == changed
    with pytest.raises(JournalError, match=r"UNIQUE.*mac"):
        await again.keep(with_macs("a", "a", "", ""))
    assert again.places() == changed
    one.close()
    again.close()


async def test_the_file_of_reservations_keeps_the_set_that_is_served(
    tmp_path: Path,
) -> None:
    served = ReservationFile(tmp_path / "reservations.json")
    a, b = Reservation("a", "10.0.0.10", "x"), Reservation("b", "10.0.0.11", "y")
    assert served.read() == ()
    await served.write((a,))
    await served.write((a, b))
    await served.write((a, b))
    assert served.read() == (a, b)
    (tmp_path / "reservations.json").write_text("{")
    assert served.read() == ()
    assert (tmp_path / "reservations.broken").read_text() == "{"


def row(mac: str, last: int, name: str) -> Reservation:
    return Reservation(f"dc:a6:32:00:00:{mac}", f"10.0.0.{last}", name)


def test_a_difference_reads_like_a_patch() -> None:
    old = [row("01", 10, "x"), row("02", 11, "y")]
    change = difference(old, [row("02", 12, "y"), row("03", 10, "x")])
    assert str(change) == (
        "+ dc:a6:32:00:00:03 10.0.0.10 x\n"
        "~ dc:a6:32:00:00:02 10.0.0.12 y\n"
        "- dc:a6:32:00:00:01 10.0.0.10 x"
    )
    assert not difference(old, reversed(old))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("01", 10, "x"), row("02", 10, "y")], "address 10.0.0.10 is reserved"),
        ([row("01", 10, "x"), row("02", 11, "x")], "name x is reserved for two"),
        ([row("01", 10, "x"), row("01", 11, "y")], "mac .* is reserved for two"),
        ([row("01", 1, "x")], "master's own address"),
        ([row("01", 222, "x")], "lies in the pool"),
        ([row("AB", 10, "x")], "lower case"),
        ([row("zz", 10, "x")], "not a hardware address"),
        ([row("01", 10, "a b")], "host name"),
        ([Reservation("dc:a6:32:00:00:01", "10.0.9.9", "x")], "is not in 10.0.0.0/24"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(
    rows: list[Reservation], words: str
) -> None:
    with pytest.raises(ConfigurationRefusedError, match=words):
        validate(rows, SUBNET)


async def test_beside_somebody_elses_server_the_set_is_only_kept(
    tmp_path: Path,
) -> None:
    backend = Observe(SUBNET, tmp_path / "dhcp")
    await backend.start()
    assert not backend.reserves
    assert await backend.alive()
    change = await backend.apply([row("01", 10, "x")])
    assert [one.address for one in change.added] == ["10.0.0.10"]
    with pytest.raises(ConfigurationRefusedError):
        await backend.apply([row("01", 222, "x")])
    assert backend.applied() == (row("01", 10, "x"),)
    assert (await backend.apply([])).removed == (row("01", 10, "x"),)
    assert await backend.leases() == ()
    (problem,) = await backend.check(())
    assert "has no address in 10.0.0.0/24" in problem.text
    assert not problem.fatal, "the other server's network may be another one"
    await backend.stop()


RUN_OF_VERSION_1 = (
    "eNptkl+O0zAQxpt9gQNwADgAJUm7K8gDywk4ApWTTFKrrm08TqPy1O3zInU5Qpt/XcSivUG1fewd"
    "OAOPPGKn2VUliCLF/s03k88z/tV7tabxHeWoCWOvXeKGblRJosgUv1YGRhP8tqx4Ng1BOSUyodF5"
    "3J91+4qRucj0skyoQv3De+f3vYu3fX/Q99ytBDVq6zg1B50LNfl5InDf+MOtFIKNkH6BQZmPBYN9"
    "owBBzQD3m1jNH7aR4Kb0FOJ9mQgVwUMhSQTX36WChNF0rEd4+PCx1z6PYouuX7aowZzqaGxJuOsI"
    "aM3AkufHtNuQIDDKW/biyOrPGQV9Apqc8ljklnzqJFKJ0OZc/u4AkZLNreJ9BxRo1YJeZ9B0I01t"
    "Vw6Xf7q6M1A0aUXJoiXrcL4hnNcq45zydNVkXDJz5nhVtV9cFahBFhgRXuhM8WeNFEg1FdypidYw"
    "ldoptaKAvSLMcL4vcjKBQ+ehV2ZcU/a0vZUiBwXxiOhdMwai7OopWkWZtpE6J+YPxk1tQLuoQjAD"
    "gaWzFvxsI5KkQAC+KNEUZzf3rht4XuD7wWAQDIfB+Xlt1TTl/wltgSHkY+NiVdtTcYivnJv7OArI"
    "RTDwA5PgeuYtW3tX/wbuTq6Vb3SRkeHi2FpqGtckZnjGNK4aOzQGU7OyfiKCerU1F5ikYI9ZhULo"
    "kwlW0OZVCaEM4pIBmYGZKmqTWxszjILa/QUpAjXu"
)
"""A run at its second stack's scan, as PiRack of bb7333b wrote it; zlib, base 64."""


def test_a_run_that_an_older_version_wrote_is_read_and_ended() -> None:
    state = zlib.decompress(base64.b64decode(RUN_OF_VERSION_1))
    old = msgspec.msgpack.decode(state, type=InstallRun)
    assert (old.version, old.step, old.position) == (1, InstallStep.SCAN, 1)
    run, effects = machine.resume(old, now=5.0)
    assert (run.step, run.ending) == (InstallStep.RESTORE, InstallStep.FAILED)
    assert texts.OUTDATED in run.problems
    assert any(isinstance(effect, SwitchStack) for effect in effects)
