"""Addresses, pinned host keys, and who is meant by a word."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from provisioning.deploy import ssh
from provisioning.deploy.report import DeployError, Target, parse
from provisioning.deploy.ssh import HostKeys, Ssh


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
