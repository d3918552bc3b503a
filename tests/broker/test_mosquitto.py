"""What we write for Mosquitto, and how we find it."""

from pathlib import Path

import pytest

from broker.common.errors import BrokerError
from broker.mosquitto import program as mosquitto
from broker.mosquitto.child import ALL_ADDRESSES, MosquittoConfig, TlsListener, render
from broker.mosquitto.program import PLUGIN


def config(**changes: object) -> MosquittoConfig:
    fields: dict[str, object] = {
        "directory": Path("/data"),
        "plugin": Path("/usr/lib/x.so"),
        "port": 1883,
    }
    return MosquittoConfig(**(fields | changes))  # type: ignore[arg-type]  # the fields are given by name


def test_the_broker_listens_on_loopback_unless_told_otherwise() -> None:
    lines = render(config(), root=False).splitlines()
    assert "listener 1883 127.0.0.1" in lines
    assert "allow_anonymous false" in lines
    everywhere = render(config(host=ALL_ADDRESSES), root=False).splitlines()
    assert "listener 1883" in everywhere


def test_only_root_is_told_which_user_to_be() -> None:
    assert "user root" in render(config(), root=True).splitlines()
    assert "user " not in render(config(), root=False)


def test_an_encrypted_listener_comes_beside_the_plain_one() -> None:
    tls = TlsListener(port=8883, certificate=Path("/c"), key=Path("/k"))
    lines = render(config(tls=tls), root=False).splitlines()
    where = lines.index("listener 8883")
    assert lines[where + 1 : where + 4] == [
        "certfile /c",
        "keyfile /k",
        "tls_version tlsv1.2",
    ]


@pytest.mark.parametrize("word", ["per_listener_settings", "acl_file", "password_file"])
def test_what_is_known_to_fail_is_never_written(word: str) -> None:
    assert word not in render(config(), root=True)


def test_a_path_with_a_line_break_cannot_smuggle_a_line_in() -> None:
    with pytest.raises(BrokerError, match="line break"):
        render(config(directory=Path("/data\nallow_anonymous true")), root=False)


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
    with pytest.raises(BrokerError, match="which is not a file"):
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
