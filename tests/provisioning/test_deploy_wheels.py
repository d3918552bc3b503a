"""Boards of 32 bits: one of a kind makes wheels, and the others get them from here."""

import asyncio
import base64
import hashlib
import io
import re
import tarfile
from pathlib import Path

import pytest

from provisioning.deploy import remote, wheels
from provisioning.deploy.deployer import DeployPace
from provisioning.deploy.remote import Output
from provisioning.deploy.report import DeployError, DeployStep, Trouble
from provisioning.deploy.wheels import WheelStore
from tests.provisioning.deploy_stage import (
    BUILDS,
    KIND,
    NEEDS_WHEELS,
    UNITS,
    Board,
    Stage,
    alone,
    answers,
    handed_over,
    wheel_names,
)

MAKE = remote.wheels("source")
NO_APT = "piwheels\tit cannot be reached: timed out\napt\tE: Could not resolve\n"
CANNOT = Output(code=0, stdout=NO_APT)
NOW = DeployPace(pause_s=0.0, birth_s=0.05)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage()
    made.wheels = WheelStore(tmp_path / "wheels", UNITS)
    return made


def small(stage: Stage, host: str, said: str = "", **does: object) -> Board:
    """A board of 32 bits."""
    return stage.board(host, asks=answers(host) + NEEDS_WHEELS + said, **does)


def made(board: Board) -> int:
    """How often a board made wheels."""
    return sum(command in {MAKE, remote.wheels("piwheels")} for command in board.ran)


def kept(stage: Stage) -> list[str]:
    assert stage.wheels is not None
    return sorted(stage.wheels.files(KIND))


WAYS = [
    ("piwheels\tyes\napt\tyes\n", "piwheels", "it gets them from piwheels, once"),
    ("piwheels\tno 1\napt\tyes\n", "source", "come by apt into a layer over its syst"),
    ("gcc\tyes\napt\tno\n", "source", "it builds them with its gcc, in minutes"),
]


@pytest.mark.parametrize(("said", "source", "words"), WAYS)
async def test_a_board_is_told_from_where_its_wheels_come_before_anything_is_made(
    stage: Stage, said: str, source: str, words: str
) -> None:
    board = small(stage, "1", ways=Output(code=0, stdout=said))
    ready = alone(await stage.deploy(dry=True))
    assert ready.step is DeployStep.READY
    assert words in ready.text
    assert (made(board), stage.packed, kept(stage)) == (0, [], [])

    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert remote.wheels(source) in board.ran
    order = stage.steps()
    assert (
        order.index(DeployStep.LOOKING)
        < order.index(DeployStep.WHEELS)
        < order.index(DeployStep.JOINING)
    )
    assert any(words in text for text in stage.texts(DeployStep.LOOKING))
    assert set(wheel_names()) < set(kept(stage))


NO_WAY = [
    (
        NO_APT,
        "",
        "piwheels: it cannot be reached: timed out; apt: E: Could not resolve",
    ),
    ("piwheels\t\n", "", "piwheels: not in its pip.conf; apt: not there"),
    ("apt\tyes\n", "free_kb\t200000\n", "600 MB are needed to build them, and 200 MB"),
]


@pytest.mark.parametrize(("ways", "has", "words"), NO_WAY)
async def test_a_board_that_can_make_none_is_told_why_and_joins_no_rack(
    stage: Stage, ways: str, has: str, words: str
) -> None:
    board = small(stage, "1", has, ways=Output(code=0, stdout=ways))
    for dry in (True, False):
        report = alone(await stage.deploy(dry=dry))
        assert report.trouble is Trouble.WHEELS
        assert words in report.text
        assert "--wheelhouse" in report.text
    assert (made(board), stage.packed) == (0, [])


async def test_an_old_python_is_told_before_wheels_are_thought_of(stage: Stage) -> None:
    board = small(stage, "1", "python\t3 9\n")
    report = alone(await stage.deploy(dry=True))
    assert report.trouble is Trouble.PYTHON
    assert "3.9" in report.text
    assert "Raspberry Pi OS 12" in report.text
    assert len(board.ran) == 1


async def test_of_two_boards_at_once_one_makes_wheels_and_the_other_waits(
    stage: Stage,
) -> None:
    both = paused(stage, "1", "2")
    deploying = asyncio.ensure_future(stage.deploy(pace=NOW))
    await stage.until(DeployStep.WHEELS, "1", "2")
    go_on(both)
    assert [report.step for report in await deploying] == [DeployStep.DONE] * 2
    assert sum(map(made, both)) == 1
    maker, waits = sorted(both, key=made, reverse=True)
    names = {id(board): host for host, board in stage.boards.items()}
    assert stage.texts(DeployStep.WHEELS, names[id(waits)]) == [
        f"waits for the wheels that {names[id(maker)]} makes"
    ]


async def test_who_makes_wheels_or_waits_holds_up_no_other_board(stage: Stage) -> None:
    """Not by taking a place among those that are visited, nor by its deadline."""
    both = paused(stage, "1", "2")
    stage.board("3")
    stage.board("4", asks=answers("4") + "bits\t64\n")
    deadline_s = 1.0
    pace = DeployPace(parallel=1, pause_s=0.0, birth_s=0.05, deadline_s=deadline_s)
    deploying = asyncio.ensure_future(stage.deploy(pace=pace))
    await stage.until(DeployStep.DONE, "3", "4")
    await stage.until(DeployStep.WHEELS, "1", "2")
    await asyncio.sleep(1.1 * deadline_s)
    go_on(both)
    reports = await deploying
    assert [report.step for report in reports] == [DeployStep.DONE] * 4
    assert {report.attempts for report in reports} == {1}
    assert stage.most_inside == 3


def paused(stage: Stage, *hosts: str) -> list[Board]:
    """Boards of 32 bits, of which none goes on with making wheels."""
    boards = [small(stage, host) for host in hosts]
    for board in boards:
        board.may_make.clear()
    return boards


def go_on(boards: list[Board]) -> None:
    for board in boards:
        board.may_make.set()


async def test_wheels_that_are_kept_serve_every_board_of_their_kind(
    stage: Stage,
) -> None:
    small(stage, "1")
    await stage.deploy()
    other = small(stage, "2", ways=CANNOT)
    (report,) = [r for r in await stage.deploy() if r.target.host == "2"]
    assert report.step is DeployStep.DONE
    assert made(other) == 0
    (text,) = stage.texts(DeployStep.LOOKING, "2")
    assert text.endswith("PyPI has no wheels: it gets those that are kept here")
    python = NEEDS_WHEELS.replace("313", "311")
    third = stage.board("3", asks=answers("3") + python)
    await stage.deploy()
    assert made(third) == 1


async def test_a_board_that_loses_power_while_it_makes_wheels_makes_them_again(
    stage: Stage,
) -> None:
    lost = DeployError(Trouble.LOST, "the connection ended")
    board = small(stage, "1", makes=(lost, handed_over()))
    report = alone(await stage.deploy())
    assert (report.step, report.attempts, made(board)) == (DeployStep.DONE, 2, 2)


async def test_another_board_takes_over_from_one_that_lost_power(stage: Stage) -> None:
    both = paused(stage, "1", "2")
    lost = DeployError(Trouble.LOST, "the connection ended")
    both[0].makes = both[1].makes = [lost, handed_over()]  # whoever begins loses power
    deploying = asyncio.ensure_future(stage.deploy(pace=NOW))
    await stage.until(DeployStep.WHEELS, "1", "2")
    go_on(both)
    assert [report.step for report in await deploying] == [DeployStep.DONE] * 2
    assert [made(board) for board in both] == [1, 1]


async def test_a_kind_whose_wheels_cannot_be_made_is_not_tried_by_every_board(
    stage: Stage,
) -> None:
    wrong = Output(code=4, stderr="error: gcc failed\nwheels: could not be built\n")
    boards = [small(stage, str(host), makes=(wrong,)) for host in range(1, 7)]
    reports = await stage.deploy()
    assert all(report.step is DeployStep.FAILED for report in reports)
    assert sum(map(made, boards)) == wheels.MOST_TRIES
    said = " ".join(one.text for one in stage.reports)
    assert "wheels: could not be built" in said
    assert "failed: see what they said" in said


async def test_wheels_that_take_too_long_are_given_up(stage: Stage) -> None:
    board = small(stage, "1")
    board.may_make.clear()
    pace = DeployPace(pause_s=0.0, birth_s=0.05, wheels_s=0.02)
    report = alone(await stage.deploy(pace=pace))
    assert (report.trouble, report.text) == (
        Trouble.TOO_SLOW,
        "no wheels within 0.02 s",
    )


@pytest.mark.parametrize("spoilt", [b"no archive", b""])
async def test_kept_wheels_that_are_damaged_are_put_aside_and_made_again(
    stage: Stage, tmp_path: Path, spoilt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    board = small(stage, "1")
    await stage.deploy()
    (file,) = (tmp_path / "wheels").iterdir()
    whole = file.read_bytes()
    # A wheel's content, or the end of the archive.
    changed = whole.replace(b"msgspec", b"msgspek", 3)
    file.write_bytes(changed if spoilt else whole[:700])
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert made(board) == 2
    assert file.read_bytes() == whole
    assert file.with_suffix(".broken").exists()
    assert "is broken" in caplog.text


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("psutil-7.2.2-cp313-cp313-linux_armv7l.whl",), "wheels of psutil-7.2.2, not"),
        (("../../etc/passwd",), "a file has the name '../../etc/passwd'"),
        ((*wheel_names(), "evil-1-py3-none-any.whl"), "wheels of evil-1"),
    ],
)
async def test_what_is_not_the_wheels_of_the_lock_file_is_not_taken_from_a_board(
    stage: Stage, tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    small(stage, "1", makes=(handed_over(names),))
    report = alone(await stage.deploy())
    assert report.trouble is Trouble.PACKAGES
    assert words in report.text
    assert not (tmp_path / "wheels").exists()
    assert stage.packed == []


async def test_a_sparse_file_takes_no_more_memory_than_the_archive_has(
    stage: Stage, tmp_path: Path
) -> None:
    name = wheel_names()[0]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        said = {"major": "1", "minor": "0", "name": name, "realsize": str(1 << 24)}
        entry.pax_headers = {f"GNU.sparse.{key}": word for key, word in said.items()}
        entry.size = tarfile.BLOCKSIZE  # the map of what is not a hole: nothing
        archive.addfile(entry, io.BytesIO(b"0\n".ljust(tarfile.BLOCKSIZE, b"\0")))
    printed = base64.encodebytes(content.getvalue()).decode()
    small(stage, "1", makes=(Output(code=0, stdout=printed),))
    report = alone(await stage.deploy())
    assert report.trouble is Trouble.PACKAGES
    assert "a file of 16777216 bytes" in report.text
    assert not (tmp_path / "wheels").exists()


async def test_what_a_board_hands_over_beside_its_wheels_goes_to_no_other(
    stage: Stage,
) -> None:
    names = (*wheel_names(), "msgspec-99.0.tar.gz")
    small(stage, "1", makes=(handed_over(names),))
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert kept(stage) == sorted((*wheel_names(), wheels.SUMS, wheels.ORIGIN))


async def test_a_board_that_prints_something_else_is_told_to(stage: Stage) -> None:
    small(stage, "1", makes=(Output(code=0, stdout="a login banner\n"),))
    report = alone(await stage.deploy())
    assert "cannot be used" in report.text


async def test_a_kind_that_is_no_name_of_a_file_is_refused(stage: Stage) -> None:
    stage.board("1", asks=f"{answers('1')}bits\t32\nkind\t../../x\n")
    report = alone(await stage.deploy())
    assert report.trouble is Trouble.WHEELS
    assert "'../../x'" in report.text


def dist_infos() -> str:
    return " ".join(
        f"{'-'.join(one.split('-')[:2])}.dist-info" for one in wheel_names()
    )


async def test_a_board_that_has_the_locked_versions_needs_no_wheels(
    stage: Stage,
) -> None:
    there = "/opt/pirack/.installed\tdigest\n"
    board = small(stage, "1", f"{there}has\tpip-26.dist-info {dist_infos()}\n")
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert made(board) == 0
    older = re.sub(r"msgspec-[0-9.]+\.dist", "msgspec-0.1.dist", dist_infos())
    other = small(stage, "2", f"{there}has\t{older}\n", ways=BUILDS)
    await stage.deploy()
    assert made(other) == 1


async def test_whoever_brings_a_wheelhouse_is_asked_for_nothing(stage: Stage) -> None:
    stage.wheels = None
    board = small(stage, "1", ways=CANNOT)
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert remote.wheels("ask") not in board.ran


async def test_wheels_of_another_lock_file_are_made_anew(
    stage: Stage, tmp_path: Path
) -> None:
    board = small(stage, "1")
    await stage.deploy()
    units = tmp_path / "units"
    units.mkdir()
    for name in wheels.RECIPE:
        text = (UNITS / name).read_text()
        (units / name).write_text(re.sub("^psutil==.*?( |$)", "psutil==99 ", text))
    lock = (UNITS / "node.lock").read_text()
    (units / "node.lock").write_text(re.sub("(?m)^psutil==[0-9.]+", "psutil==99", lock))
    stage.wheels = WheelStore(tmp_path / "wheels", units)
    newer = [re.sub(r"psutil-[0-9.]+-", "psutil-99-", one) for one in wheel_names()]
    board.makes = [handed_over(newer)]
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert made(board) == 2


async def test_each_wheel_is_kept_with_its_hash_and_who_made_it(stage: Stage) -> None:
    small(stage, "1")
    await stage.deploy()
    assert stage.wheels is not None
    files = stage.wheels.files(KIND)
    sums = files[wheels.SUMS].decode().splitlines()
    assert sorted(line.split("  ")[1] for line in sums) == sorted(wheel_names())
    for line in sums:
        digest, name = line.split("  ")
        assert hashlib.sha256(files[name]).hexdigest() == digest
    assert files[wheels.ORIGIN] == b"made by 1 from source\n"


def test_board_and_master_find_the_kind_of_a_board_by_the_same_program() -> None:
    """The bundle of ``node add`` has wheels of all kinds; ``install`` takes its own."""
    program = re.compile(r"python3 -c '(import os, platform, sysconfig\n.*?)'", re.S)
    texts = [(UNITS / "install").read_text(), wheels_ask()]
    one, two = (program.findall(text) for text in texts)
    assert len(one) == len(two) == 1
    assert one == two


def wheels_ask() -> str:
    from provisioning.deploy import remote  # noqa: PLC0415  # for its text alone

    return remote.ASK
