"""Agents brought to boards over SSH, on boards in memory; and in what words."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from broker.common.errors import LinkError
from provisioning.deploy import ssh
from provisioning.deploy.deployer import DeployPace
from provisioning.deploy.remote import Output
from provisioning.deploy.report import DeployError, DeployStep, Target, Trouble, parse
from provisioning.deploy.ssh import HostKeys, Ssh
from tests.provisioning.deploy_stage import (
    HAD_IT,
    INSTALLED,
    Stage,
    alone,
    answers,
    mac,
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def refusal(trouble: Trouble) -> DeployError:
    return DeployError(trouble, f"because of {trouble}")


async def test_a_board_is_done_when_a_new_session_of_its_agent_spoke(
    stage: Stage,
) -> None:
    board = stage.board("1")
    report = alone(await stage.deploy())
    assert (report.step, report.node, report.text) == (
        DeployStep.DONE,
        "pi-01",
        "agent 1.2.3",
    )
    assert stage.waited_for == [("pi-01", "old session of pi-01")]
    assert board.fed == [b"password of this board"]
    assert stage.steps() == [
        *(
            DeployStep.WAITING,
            DeployStep.CONNECTING,
            DeployStep.LOOKING,
            DeployStep.JOINING,
        ),
        *(DeployStep.INSTALLING, DeployStep.STARTING, DeployStep.DONE),
    ]


async def test_no_command_and_no_report_has_the_password(stage: Stage) -> None:
    board = stage.board("1")
    await stage.deploy()
    assert "password of" not in repr((board.ran, stage.reports))


async def test_a_board_that_has_all_of_it_is_only_heard(stage: Stage) -> None:
    stage.board("1", installs=(HAD_IT,))
    assert alone(await stage.deploy()).step is DeployStep.UNCHANGED
    assert stage.waited_for == []


async def test_a_dry_run_looks_and_makes_nothing(stage: Stage) -> None:
    board = stage.board("1")
    report = alone(await stage.deploy(dry=True))
    assert (report.step, report.node) == (DeployStep.READY, "pi-01")
    assert (stage.packed, board.fed) == ([], [])


PASSING = [
    Trouble.UNREACHABLE,
    Trouble.LOST,
    Trouble.TOO_SLOW,
    Trouble.PACKAGES,
    Trouble.WHEELS,
    Trouble.INSTALLER,
    Trouble.NOT_JOINED,
    Trouble.SILENT,
]


@pytest.mark.parametrize("trouble", PASSING)
async def test_what_may_pass_is_tried_a_second_time(
    stage: Stage, trouble: Trouble
) -> None:
    stage.board("1", doors=(refusal(trouble),))
    report = alone(await stage.deploy())
    assert (report.step, report.attempts, report.trouble) == (DeployStep.DONE, 2, None)
    assert DeployStep.AGAIN in stage.steps()


@pytest.mark.parametrize("trouble", sorted(set(Trouble) - set(PASSING)))
async def test_what_a_person_must_mend_is_not_tried_again(
    stage: Stage, trouble: Trouble
) -> None:
    stage.board("1", doors=(refusal(trouble),))
    report = alone(await stage.deploy())
    assert (report.step, report.trouble) == (DeployStep.FAILED, trouble)
    assert report.attempts == 1
    assert report.text == f"because of {trouble}"


def starting() -> DeployError:
    return DeployError(Trouble.UNREACHABLE, "Connection refused", starting=True)


async def test_a_board_that_has_just_come_up_has_time_to_start_its_ssh_server(
    stage: Stage,
) -> None:
    """An install run ends when boards answer ARP, some seconds before that."""
    stage.board("1", doors=(starting(),) * 8)
    seconds = iter(range(0, 1000, 10))
    report = alone(await stage.deploy(clock=lambda: float(next(seconds) // 5)))
    assert (report.step, report.attempts) == (DeployStep.DONE, 1)


async def test_a_board_without_an_ssh_server_is_told_in_the_end(stage: Stage) -> None:
    stage.board("1", doors=(starting(),) * 99)
    seconds = iter(range(0, 1000, 10))
    report = alone(await stage.deploy(clock=lambda: float(next(seconds))))
    assert (report.step, report.trouble) == (DeployStep.FAILED, Trouble.UNREACHABLE)
    assert report.attempts == 2


async def test_two_failures_are_the_end(stage: Stage) -> None:
    stage.board("1", doors=(refusal(Trouble.LOST), refusal(Trouble.UNREACHABLE), None))
    report = alone(await stage.deploy())
    assert (report.step, report.trouble) == (DeployStep.FAILED, Trouble.UNREACHABLE)


async def test_one_board_in_trouble_disturbs_no_other(stage: Stage) -> None:
    stage.board("1", doors=(refusal(Trouble.HOST_KEY),))
    stage.board("2")
    one, two = await stage.deploy()
    assert (one.step, two.step) == (DeployStep.FAILED, DeployStep.DONE)


async def test_so_many_boards_at_the_same_time_and_no_more(stage: Stage) -> None:
    for host in range(1, 10):
        stage.board(str(host))
    reports = await stage.deploy(pace=DeployPace(parallel=3))
    assert stage.most_inside == 3
    assert [report.step for report in reports] == [DeployStep.DONE] * 9


async def test_a_board_that_hangs_is_left_at_its_deadline(stage: Stage) -> None:
    stage.board("1").hangs = True
    report = alone(await stage.deploy(pace=DeployPace(deadline_s=0.02, pause_s=0.0)))
    assert report.trouble is Trouble.TOO_SLOW
    assert report.text == "not done within 0.02 s; it was looking"
    assert stage.inside == 0


async def test_a_silent_agent_is_told_with_the_end_of_its_journal(stage: Stage) -> None:
    stage.board("1", speaks=False)
    report = alone(await stage.deploy())
    assert report.trouble is Trouble.SILENT
    assert report.text.endswith("its journal: line one / the broker refused pi-1")


async def test_a_broker_that_went_away_is_told_instead_of_a_silent_agent(
    stage: Stage,
) -> None:
    stage.board("1", speaks=False)
    stage.deaf = "the broker is away: it was restarted"
    report = alone(await stage.deploy())
    assert report.text.endswith("cannot be heard from here: " + stage.deaf)


async def test_a_broker_that_refuses_the_board_stops_before_the_installation(
    stage: Stage,
) -> None:
    board = stage.board("1")
    stage.refuses = [LinkError("no broker"), LinkError("no broker")]
    report = alone(await stage.deploy())
    assert (report.trouble, report.text) == (Trouble.NOT_JOINED, "no broker")
    assert board.fed == []


async def test_another_board_than_the_one_that_was_found_gets_nothing(
    stage: Stage,
) -> None:
    stage.board("1")
    target = Target(host="1", name="s01n1", mac=mac("9"))
    report = alone(await stage.deploy(target))
    assert report.trouble is Trouble.OTHER_BOARD
    assert mac("1") in report.text
    assert mac("9") in report.text
    assert stage.packed == []


async def test_one_board_at_two_addresses_is_installed_once(stage: Stage) -> None:
    stage.board("1")
    stage.board("2", asks=answers("1"))
    one, two = await stage.deploy()
    assert (one.step, two.trouble) == (DeployStep.DONE, Trouble.OTHER_BOARD)
    assert two.text.startswith("pi-01 answers here and at 1")


MISSING = [
    ("root\tsudo: a password is required\n", Trouble.SUDO, "NOPASSWD"),
    ("python\tsh: 1: python3: not found\n", Trouble.PYTHON, "not found"),
    ("python\t3 9\n", Trouble.PYTHON, "3.9"),
    ("venv\tNo module named 'ensurepip'\n", Trouble.VENV, "apt-get install python3"),
    ("free_kb\t4000\n", Trouble.DISK_FULL, "4 MB are free"),
    ("master\tyes\n", Trouble.MASTER, "master's Pi"),
]


@pytest.mark.parametrize(("said", "trouble", "words"), MISSING)
async def test_what_a_board_lacks_is_named_before_anything_is_made_for_it(
    stage: Stage, said: str, trouble: Trouble, words: str
) -> None:
    stage.board("1", asks=answers("1") + said)
    report = alone(await stage.deploy())
    assert report.trouble is trouble
    assert words in report.text
    assert stage.packed == []


async def test_an_agent_that_is_there_needs_neither_room_nor_venv(stage: Stage) -> None:
    there = "/opt/pirack/.installed\tdigest\nvenv\tno\nfree_kb\t4000\n"
    stage.board("1", asks=answers("1") + there)
    assert alone(await stage.deploy()).step is DeployStep.DONE


async def test_a_machine_without_a_plain_shell_is_no_board(stage: Stage) -> None:
    stage.board("1", asks="This account is for git only.\n")
    report = alone(await stage.deploy())
    assert "it said: This account is for git only." in report.text


FAILED = [
    (Output(code=4, stderr="ERROR: no match\ninstall: pip\n"), Trouble.PACKAGES),
    (Output(code=5, stderr="install: venv\n"), Trouble.VENV),
    (Output(code=6, stderr="install: master\n"), Trouble.MASTER),
    (Output(code=1, stderr="install: other\n"), Trouble.INSTALLER),
    (Output(code=2, stderr="tar: No space left on device\n"), Trouble.DISK_FULL),
    (Output(code=4, stderr="[Errno 28] No space left on device"), Trouble.DISK_FULL),
    (Output(code=None), Trouble.LOST),
]


@pytest.mark.parametrize(("output", "trouble"), FAILED)
async def test_what_the_installer_ended_with_is_told_as_itself(
    stage: Stage, output: Output, trouble: Trouble
) -> None:
    stage.board("1", installs=(output,))
    report = alone(await stage.deploy())
    assert report.trouble is trouble
    assert output.stderr.rpartition(": ")[2].strip() in report.text


async def test_an_installation_that_broke_off_is_done_by_the_second_attempt(
    stage: Stage,
) -> None:
    board = stage.board("1", installs=(Output(code=None), INSTALLED))
    assert alone(await stage.deploy()).step is DeployStep.DONE
    assert len(board.fed) == 2


@pytest.mark.parametrize(
    ("word", "host", "port"),
    [
        ("192.168.23.11", "192.168.23.11", 22),
        ("192.168.23.11:2222", "192.168.23.11", 2222),
        ("raspberrypi.local", "raspberrypi.local", 22),
        ("fe80::1", "fe80::1", 22),
        ("[fe80::1]", "fe80::1", 22),
        ("[fe80::1]:2222", "fe80::1", 2222),
    ],
)
def test_an_address_may_have_a_port(word: str, host: str, port: int) -> None:
    assert parse(word) == (host, port)


@pytest.mark.parametrize("word", ["pi:ssh", "pi:99999", "pi:0", "two words", "", ":22"])
def test_what_cannot_be_reached_is_no_address(word: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(word)}$"):
        parse(word)


def test_a_target_is_named_as_known_hosts_does() -> None:
    assert Target(host="10.0.0.1").where == "10.0.0.1"
    assert Target(host="10.0.0.1", port=2222).where == "[10.0.0.1]:2222"
    assert Target(host="10.0.0.1", name="s01n1").label == "s01n1"


def test_a_host_key_is_pinned_once_and_goes_only_when_it_is_forgotten(
    tmp_path: Path,
) -> None:
    keys = HostKeys(tmp_path / "new" / "known_hosts")
    keys.pin("10.0.0.1", "ssh-ed25519 AAAA")
    keys.pin("10.0.0.1", "ssh-ed25519 BBBB")
    keys.pin("10.0.0.2", "ssh-ed25519 CCCC")
    assert keys.known("10.0.0.1") == "ssh-ed25519 AAAA"
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.forget("10.0.0.1")
    assert not keys.forget("10.0.0.1")
    assert (keys.known("10.0.0.1"), keys.known("10.0.0.2")) == ("", "ssh-ed25519 CCCC")


def test_what_another_program_pinned_meanwhile_stays(tmp_path: Path) -> None:
    ours, theirs = (HostKeys(tmp_path / "known_hosts") for _ in range(2))
    ours.pin("10.0.0.1", "ssh-ed25519 AAAA")
    theirs.pin("10.0.0.2", "ssh-ed25519 BBBB")
    ours.pin("10.0.0.3", "ssh-ed25519 CCCC")
    assert theirs.known("10.0.0.1") == "ssh-ed25519 AAAA"
    assert ours.known("10.0.0.2") == "ssh-ed25519 BBBB"


def test_no_key_is_lost_when_several_programs_pin_and_forget_at_once(
    tmp_path: Path,
) -> None:
    def program(number: int) -> None:
        keys = HostKeys(tmp_path / "new" / "known_hosts")
        for board in range(8):
            keys.pin(f"10.0.{number}.{board}", "ssh-ed25519 AAAA")
            keys.pin(f"10.1.{number}.{board}", "ssh-ed25519 BBBB")
            keys.forget(f"10.1.{number}.{board}")

    with ThreadPoolExecutor(4) as programs:
        list(programs.map(program, range(4)))
    kept = (tmp_path / "new" / "known_hosts").read_text().splitlines()
    boards = [f"10.0.{number}.{board}" for number in range(4) for board in range(8)]
    assert sorted(line.split()[0] for line in kept) == sorted(boards)


def test_programs_that_are_each_the_first_have_one_key(tmp_path: Path) -> None:
    together = Barrier(4)

    def program(_: int) -> str:
        together.wait()
        return ssh.public_line(ssh.own_key(tmp_path / "new"))

    with ThreadPoolExecutor(4) as programs:
        assert len(set(programs.map(program, range(4)))) == 1


async def test_a_file_of_keys_that_cannot_be_used_is_told_as_trouble(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    way = Ssh("pi", (), HostKeys(tmp_path / "file" / "known_hosts"), advice="")
    with pytest.raises(DeployError, match="known_hosts cannot be read or kept: Not a"):
        await way(Target(host="10.0.0.1")).__aenter__()
