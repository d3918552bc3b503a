"""What we write for Mosquitto, and how we find it."""

import base64
import json
import stat
from pathlib import Path

import pytest

from broker.common.errors import BrokerError
from broker.contract.topics import Topics
from broker.mosquitto import dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.configuration import ALL_ADDRESSES, Plan, TlsListener, render
from broker.mosquitto.dynsec import Role, User, hash_password
from broker.mosquitto.program import PLUGIN

TOPICS = Topics("lab")
NODE = User(name="pi-1", password="secret", role=Role.NODE)
OPERATOR = User(name="operator", password="secret", role=Role.OPERATOR)


def plan(**changes: object) -> Plan:
    fields: dict[str, object] = {
        "directory": Path("/data"),
        "plugin": Path("/usr/lib/x.so"),
        "port": 1883,
    }
    return Plan(**(fields | changes))  # type: ignore[arg-type]  # the fields are given by name


def test_passwords_are_hashed_as_mosquitto_ctrl_does() -> None:
    """A pair made by ``mosquitto_ctrl dynsec init`` of 2.0.11 for ``secret``."""
    assert hash_password("secret", base64.b64decode("cdhFIN0BievLWuyg")) == (
        "0mEwYjybgxIV7OXjZWE+UBkj+NV1WuNtoBuMsvUS52aQBPeCwuP8z4QndrtwJq9W"
        "+MxdqEZtUeszApQr21Utnw=="
    )


def test_nodes_and_services_are_bound_to_their_client_id_and_people_are_not() -> None:
    clients = dynsec.document([NODE, OPERATOR], TOPICS)["clients"]
    assert [one.get("clientid") for one in clients] == ["pi-1", None]


def test_each_node_has_a_role_of_its_own() -> None:
    users = [NODE, User(name="pi-2", password="secret", role=Role.NODE), OPERATOR]
    roles = dynsec.document(users, TOPICS)["roles"]
    assert [one["rolename"] for one in roles] == [
        "node-pi-1",
        "node-pi-2",
        "operator",
    ]


@pytest.mark.parametrize("role", Role)
def test_no_role_but_the_masters_may_publish_state(role: Role) -> None:
    user = User(name="somebody", password="secret", role=role)
    granted = dynsec.rights(user, TOPICS).publish
    assert (f"{TOPICS.prefix}/#" in granted) is (role is Role.MASTER)


def test_the_file_is_private_and_holds_no_password(tmp_path: Path) -> None:
    path = dynsec.write(tmp_path, [NODE], TOPICS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "secret" not in text
    assert json.loads(text)["defaultACLAccess"]["publishClientSend"] is False


def test_the_broker_listens_on_loopback_unless_told_otherwise() -> None:
    lines = render(plan(), root=False).splitlines()
    assert "listener 1883 127.0.0.1" in lines
    assert "allow_anonymous false" in lines
    everywhere = render(plan(host=ALL_ADDRESSES), root=False).splitlines()
    assert "listener 1883" in everywhere


def test_only_root_is_told_which_user_to_be() -> None:
    assert "user root" in render(plan(), root=True).splitlines()
    assert "user " not in render(plan(), root=False)


def test_an_encrypted_listener_comes_beside_the_plain_one() -> None:
    tls = TlsListener(port=8883, certificate=Path("/c"), key=Path("/k"))
    lines = render(plan(tls=tls), root=False).splitlines()
    where = lines.index("listener 8883")
    assert lines[where + 1 : where + 4] == [
        "certfile /c",
        "keyfile /k",
        "tls_version tlsv1.2",
    ]


@pytest.mark.parametrize("word", ["per_listener_settings", "acl_file", "password_file"])
def test_what_is_known_to_fail_is_never_written(word: str) -> None:
    assert word not in render(plan(), root=True)


def test_a_path_with_a_line_break_cannot_smuggle_a_line_in() -> None:
    with pytest.raises(BrokerError, match="line break"):
        render(plan(directory=Path("/data\nallow_anonymous true")), root=False)


def unpacked(root: Path) -> Path:
    """Lay out a tree as ``scripts/get-mosquitto`` does."""
    program = root / "usr/sbin/mosquitto"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'mosquitto version 9.8.7'\n")
    program.chmod(0o755)
    libraries = root / "usr/lib/some-triplet"
    libraries.mkdir(parents=True)
    (libraries / PLUGIN).touch()
    (libraries / "libmosquitto.so.1").touch()
    return program


def test_an_unpacked_mosquitto_is_found_with_its_plugin_and_libraries(
    tmp_path: Path,
) -> None:
    program = unpacked(tmp_path / ".mosquitto")
    found = mosquitto.find({mosquitto.VARIABLE: str(program)})
    libraries = tmp_path / ".mosquitto/usr/lib/some-triplet"
    assert found.program == program
    assert found.plugin == libraries / PLUGIN
    environment = found.environment({"LD_LIBRARY_PATH": "/before", "HOME": "/h"})
    assert environment == {"LD_LIBRARY_PATH": f"{libraries}:/before", "HOME": "/h"}
    assert found.version() == "9.8.7"


def test_the_one_on_the_path_comes_before_the_unpacked_one(tmp_path: Path) -> None:
    unpacked(tmp_path / "project" / ".mosquitto")
    program = unpacked(tmp_path / "other")
    found = mosquitto.find({"PATH": str(program.parent)}, project=tmp_path / "project")
    assert found.program == program


def test_without_one_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosquitto, "_SYSTEM", ())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrokerError, match="run scripts/get-mosquitto"):
        mosquitto.find({"PATH": ""}, project=tmp_path)


def test_a_variable_that_names_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="which is no file"):
        mosquitto.find({mosquitto.VARIABLE: str(tmp_path / "gone")})


def test_a_mosquitto_without_its_plugin_is_an_error(tmp_path: Path) -> None:
    program = unpacked(tmp_path)
    (tmp_path / "usr/lib/some-triplet" / PLUGIN).unlink()
    with pytest.raises(BrokerError, match="not its plugin"):
        mosquitto.find({mosquitto.VARIABLE: str(program)})


@pytest.mark.parametrize("program", ["/bin/true", "/bin/sh", "/etc/hostname"])
def test_a_variable_that_names_another_program_says_so(
    program: str, tmp_path: Path
) -> None:
    copy = unpacked(tmp_path)
    copy.unlink()
    copy.symlink_to(program)
    with pytest.raises(BrokerError, match=r"sbin/mosquitto does not run.*PIRACK_MOS"):
        mosquitto.find({mosquitto.VARIABLE: str(copy)})
