"""Passwords: where they come from, who may read them, and that no log shows them."""

import logging
import stat
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint
from broker.common.config import BrokerSettings
from broker.common.errors import ConfigError
from broker.mosquitto import credentials
from broker.mosquitto.credentials import Credentials, endpoint, generate_password
from broker.mosquitto.dynsec import BrokerRole, BrokerUser

SECRET = "correct horse battery staple"


def settings_with(path: Path) -> BrokerSettings:
    return BrokerSettings(host="pi", port=8883, credentials=str(path))


def test_what_is_written_is_read_and_only_its_owner_may(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.json"
    credentials.write(path, Credentials(username="pi-1", password=SECRET))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = endpoint(settings_with(path))
    assert (found.username, found.password) == ("pi-1", SECRET)
    assert (found.host, found.port) == ("pi", 8883)
    assert caplog.records == []


def test_without_a_file_the_connection_is_anonymous() -> None:
    assert endpoint(BrokerSettings()) == Endpoint()


def test_a_file_others_can_read_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "node.json"
    credentials.write(path, Credentials(username="pi-1", password=SECRET))
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert endpoint(settings_with(path)).password == SECRET
    assert "mode 644 lets others read the password; do: chmod 600" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"username": "a"}', b'{"username":1,"password":2}']
)
def test_another_content_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"node\.json: is not a cred.*username"):
        endpoint(settings_with(path))


def test_a_missing_file_is_named_with_what_it_must_hold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'No such file.*must hold \{"username"'):
        endpoint(settings_with(tmp_path / "gone.json"))


def test_passwords_are_long_and_never_the_same() -> None:
    made = {generate_password() for _ in range(100)}
    assert len(made) == 100
    assert min(len(one) for one in made) == 32


@pytest.mark.parametrize(
    "holder",
    [
        Endpoint(username="pi-1", password=SECRET),
        Credentials(username="pi-1", password=SECRET),
        BrokerUser(name="pi-1", password=SECRET, role=BrokerRole.NODE),
    ],
    ids=lambda one: type(one).__name__,
)
def test_no_repr_shows_a_password(holder: object) -> None:
    assert SECRET not in repr(holder)
    assert SECRET not in f"{holder}"
    assert "pi-1" in repr(holder)


def test_a_certificate_authority_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ca\.crt: cannot be used.*give a PEM"):
        Endpoint(ca_file=path).tls()
    with pytest.raises(ConfigError, match=r"gone\.crt"):
        Endpoint(ca_file=tmp_path / "gone.crt").tls()
    assert Endpoint().tls() is None


def test_services_that_share_a_configuration_sign_in_as_themselves(
    tmp_path: Path,
) -> None:
    for name in ("agent", "master"):
        made = Credentials(username=name, password="secret")
        credentials.write(tmp_path / f"{name}.json", made)
    settings = BrokerSettings(credentials=str(tmp_path / "agent.json"))
    own = {credentials.VARIABLE: str(tmp_path / "master.json")}
    assert credentials.endpoint(settings, {}).username == "agent"
    assert credentials.endpoint(settings, own).username == "master"
