"""The broker's certificate, made by the real ``openssl``."""

import time
from pathlib import Path

import pytest

from broker.common.errors import CertificateError
from broker.mosquitto import certificates
from broker.mosquitto.certificates import Files

pytestmark = pytest.mark.system

NAMES = ("rack.local", "10.0.0.1")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(
        authority_key=tmp_path / "ca.key",
        authority=tmp_path / "ca.crt",
        key=tmp_path / "broker.key",
        certificate=tmp_path / "broker.crt",
    )
    assert certificates.ensure(made, NAMES, rack="lab", now=time.time())
    return made


def test_what_is_good_stays(files: Files) -> None:
    assert not certificates.ensure(files, NAMES, rack="lab", now=time.time())


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, b"not a key"])
@pytest.mark.parametrize("part", ["key", "certificate"])
def test_a_damaged_file_of_the_broker_is_made_again(
    files: Files, part: str, damage: bytes
) -> None:
    authority = files.authority.read_bytes()
    path: Path = getattr(files, part)
    path.write_bytes(damage)
    assert certificates.ensure(files, NAMES, rack="lab", now=time.time())
    assert path.read_bytes() != damage
    assert files.authority.read_bytes() == authority


def test_a_key_of_another_certificate_is_replaced(files: Files, tmp_path: Path) -> None:
    other = Files(
        authority_key=tmp_path / "other-ca.key",
        authority=tmp_path / "other-ca.crt",
        key=tmp_path / "other.key",
        certificate=tmp_path / "other.crt",
    )
    certificates.ensure(other, NAMES, rack="lab", now=time.time())
    files.key.write_bytes(other.key.read_bytes())
    assert certificates.ensure(files, NAMES, rack="lab", now=time.time())


def test_an_empty_authority_key_is_told_and_never_replaced(files: Files) -> None:
    files.authority_key.write_bytes(b"")
    with pytest.raises(CertificateError, match=r"ca\.key is empty: put it back"):
        certificates.ensure(files, NAMES, rack="lab", now=time.time())
    assert files.authority_key.read_bytes() == b""
