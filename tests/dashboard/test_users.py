import os
import stat
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from dashboard.server.users import PageRole, Users, ensure_admin, make_user


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "users.json"


def test_the_first_administrator_is_made_once(path: Path) -> None:
    password = ensure_admin(path)

    assert password is not None
    user = Users(path).verify("admin", password)
    assert user is not None
    assert user.role is PageRole.ADMIN
    assert ensure_admin(path) is None
    assert Users(path).verify("admin", password) == user


def test_the_file_is_private_and_holds_no_password(path: Path) -> None:
    password = ensure_admin(path) or ""

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert password not in path.read_text()


def test_a_wrong_password_or_name_opens_nothing(path: Path) -> None:
    users = Users(path)
    users.put(make_user("ada", PageRole.VIEWER, "right"))

    assert users.verify("ada", "wrong") is None
    assert users.verify("eve", "right") is None
    assert users.verify("ada", "right") is not None


def test_a_new_password_ends_old_sessions(path: Path) -> None:
    users = Users(path)
    first = make_user("ada", PageRole.VIEWER, "one")
    users.put(first)
    assert users.session("ada", first.stamp) is not None

    users.put(make_user("ada", PageRole.VIEWER, "two"))

    assert users.session("ada", first.stamp) is None


def test_a_change_on_disk_is_seen(path: Path) -> None:
    users, other = Users(path), Users(path)
    assert users.get("ada") is None

    other.put(make_user("ada", PageRole.VIEWER, "one"))

    assert users.get("ada") is not None


def test_a_broken_file_is_told_with_the_way_out(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("{")

    with pytest.raises(ConfigError, match="not a users file"):
        Users(path).all()


@pytest.mark.parametrize("torn", [b"", b"\0" * 64, b'{"users": ['])
def test_at_a_start_a_torn_file_is_put_aside_and_an_administrator_made(
    path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(torn)
    password = ensure_admin(path)
    assert password is not None
    assert Users(path).verify("admin", password) is not None
    aside = path.with_suffix(".broken")
    assert aside.read_bytes() == torn
    assert f"put aside as {aside}" in caplog.text


@pytest.mark.parametrize("torn", [b"", b"\0" * 64, b"0123456789abcdef"])
def test_a_torn_secret_signs_no_cookie(tmp_path: Path, torn: bytes) -> None:
    pytest.importorskip("nicegui")
    from dashboard.web_server import session_secret  # noqa: PLC0415  # an extra

    path = tmp_path / "secret"
    path.write_bytes(torn)
    made = session_secret(path)
    assert len(made) == 64
    assert session_secret(path) == made
    assert (tmp_path / "secret.broken").read_bytes() == torn


def test_while_the_file_is_broken_nobody_is_known_and_the_log_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    users = Users(path)
    ada = make_user("ada", PageRole.VIEWER, "one")
    users.put(ada)
    good = path.read_bytes()

    path.write_text("{")
    assert [users.session("ada", ada.stamp) for _ in range(3)] == [None, None, None]
    assert caplog.text.count("not a users file") == 1

    path.write_bytes(good)
    assert users.session("ada", ada.stamp) == ada


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_user_added_with_sudo_leaves_the_file_to_its_owner(path: Path) -> None:
    nobody = 65534
    Users(path).put(make_user("ada", PageRole.VIEWER, "one"))
    os.chown(path, nobody, nobody)

    Users(path).put(make_user("bob", PageRole.VIEWER, "two"))

    assert (path.stat().st_uid, path.stat().st_gid) == (nobody, nobody)


def test_roles_include_the_ones_below() -> None:
    assert PageRole.ADMIN.may(PageRole.OPERATOR)
    assert PageRole.OPERATOR.may(PageRole.OPERATOR)
    assert not PageRole.VIEWER.may(PageRole.OPERATOR)
