"""``pirack node``: which board, what goes to it, what a person is told."""

import argparse
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.common.errors import ConfigError, TopicError
from broker.contract.topics import Topics
from broker.mosquitto import certificates, credentials
from broker.mosquitto.credentials import Credentials
from pirack import bundle, distribution, rack_config
from pirack.bundle import BoardId
from pirack.enrolment import AddedNode, AddRequest, add
from pirack.node import lines, read_request
from pirack.rack_config import RackAccess

BOARD = BoardId("pi-1f3a9c2e", told=False)


@pytest.mark.parametrize(
    ("text", "board"),
    [
        ("pi-1f3a9c2e", BOARD),
        ("100000001F3A9C2E", BOARD),
        ("0x1f3a9c2e", BOARD),
        ("DC:A6:32:01:02:03", BoardId("pi-32010203", told=True)),
        ("dc-a6-32-01-02-03", BoardId("pi-32010203", told=True)),
        ("greenhouse", BoardId("greenhouse", told=True)),
    ],
)
def test_a_board_is_known_by_its_id_its_serial_or_its_address(
    text: str, board: BoardId
) -> None:
    assert bundle.read_board_id(text) == board


@pytest.mark.parametrize("text", ["", "My Pi", "dc:a6:32:01:02", "a/b", "x" * 33])
def test_what_is_no_board_is_refused_with_the_right_forms(text: str) -> None:
    with pytest.raises(TopicError, match="MAC address"):
        bundle.read_board_id(text)


def rack(directory: Path) -> RackAccess:
    return RackAccess(
        topics=Topics("lab"),
        broker=("127.0.0.1", 1883),
        host="rack.local",
        port=8883,
        secrets=directory / "secrets",
        tls=directory,
        dynsec=directory / "dynamic-security.json",
        source=directory / "pirack.toml",
    )


def test_a_board_that_cannot_find_its_id_by_itself_is_told_it(tmp_path: Path) -> None:
    there = Path("/etc/pirack")
    found = bundle.tables(rack(tmp_path), BOARD, there)
    assert "agent" not in found
    assert found["broker"]["ca_file"] == "/etc/pirack/ca.crt"
    told = bundle.tables(rack(tmp_path), BoardId("greenhouse", told=True), there)
    assert told["agent"] == {"id": "greenhouse"}


def test_a_bundle_holds_all_a_pi_needs_and_nothing_of_the_masters(
    tmp_path: Path,
) -> None:
    (tmp_path / "ca.crt").write_text("authority")
    secret = Credentials(username=BOARD.node, password="secret")
    made = bundle.write(rack(tmp_path), BOARD, secret, into=tmp_path / "out")
    assert {one.name for one in made.iterdir()} == {
        *("pirack.toml", "credentials.json", "ca.crt", "install", "deploy")
    }
    assert {one.name for one in (made / "deploy").iterdir()} == set(bundle.FOR_NODES)
    assert (made / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert "secret" not in (made / "pirack.toml").read_text()


def test_a_bundle_made_again_replaces_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("authority")
    secret = Credentials(username=BOARD.node, password="secret")
    made = bundle.write(rack(tmp_path), BOARD, secret, into=tmp_path / "out")
    (made / "pirack-0.0.0-py3-none-any.whl").write_text("an older package")
    bundle.write(rack(tmp_path), BOARD, secret, into=tmp_path / "out")
    assert not list(made.glob("*.whl"))


def test_every_line_of_the_installer_finds_its_file() -> None:
    script = Path(distribution.deploy_directory(), bundle.INSTALL).read_text()
    wanted = [line.split()[2] for line in script.splitlines() if line[:4] == "put "]
    assert len(wanted) >= 4
    assert {one.split("/")[0] for one in wanted} <= set(bundle.FOR_NODES)
    for name in wanted:
        assert (distribution.deploy_directory() / name).exists()


def told(**changes: Any) -> str:  # noqa: ANN401  # fields of two kinds
    added = AddedNode(
        request=AddRequest(board=BOARD, name="s03n2", place=(3, 2)),
        rack="lab",
        bundle=Path("/my secrets/pi-1f3a9c2e"),
        live=True,
        **changes,
    )
    return "\n".join(lines(added))


def test_a_person_is_told_what_was_done_and_what_to_paste() -> None:
    text = told(done=("name s03n2",), problems=("place 3 2: no such stack",))
    assert "s03n2 (pi-1f3a9c2e) may join rack lab." in text
    assert "done: name s03n2" in text
    assert "note: place 3 2: no such stack" in text
    assert "tar -cC '/my secrets' pi-1f3a9c2e | ssh pi@PI tar -x" in text
    assert "sudo sh pi-1f3a9c2e/install" in text


def options(**given: object) -> argparse.Namespace:
    empty = {"name": "", "stack": None, "slot": None, "renew": False, "wheel": None}
    return argparse.Namespace(**(empty | given))


def test_name_and_place_become_the_commands_the_master_is_sent() -> None:
    wish = read_request(options(name="s03n2", stack=3, slot=2), "pi-1")
    assert wish.commands == (("name", ("s03n2",)), ("place", ("3", "2")))
    assert read_request(options(), "pi-1").commands == ()


def test_half_a_place_is_refused() -> None:
    with pytest.raises(ConfigError, match="--stack 3 --slot 2"):
        read_request(options(stack=3), "pi-1")


def test_the_masters_own_agent_keeps_the_password_it_has(tmp_path: Path) -> None:
    own = tmp_path / "agent.json"
    credentials.write(own, Credentials(username=BOARD.node, password="secret"))
    masters = msgspec.structs.replace(rack(tmp_path), own=own)
    with pytest.raises(ConfigError, match="is this machine, the master's"):
        add(masters, AddRequest(board=BOARD, renew=True))
    assert not masters.node(BOARD.node).exists()


def test_a_rack_is_found_in_the_data_directory_else_where_init_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rack_config, "PRODUCTION", tmp_path / "pirack.toml")
    with pytest.raises(ConfigError, match="pirack up --listen"):
        rack_config.locate(None, tmp_path)
    (tmp_path / "pirack.toml").touch()
    with pytest.raises(ConfigError, match="pirack up --listen"):
        rack_config.locate(None, tmp_path)  # a directory that was named is meant
    monkeypatch.setenv("PIRACK_DATA", str(tmp_path))
    assert rack_config.locate(None, None) == tmp_path / "pirack.toml"
    (tmp_path / "etc").mkdir()
    (tmp_path / rack_config.UP_FILE).touch()
    assert rack_config.locate(None, None) == tmp_path / rack_config.UP_FILE


def test_a_configuration_without_a_door_says_who_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "pirack.toml"
    path.write_text('[rack]\nname = "lab"\n')
    with pytest.raises(ConfigError, match="pirack init"):
        rack_config.read_access(path)


def test_a_certificate_is_for_checked_names_only() -> None:
    assert certificates.check_host("Rack.Local.") == "rack.local"
    assert certificates.check_host("FD00::1") == "fd00::1"
