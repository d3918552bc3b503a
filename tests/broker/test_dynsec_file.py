"""Who may connect, changed in the file of a broker that is down."""

import json
import stat
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from broker.contract.topics import Topics
from broker.mosquitto import dynsec, dynsec_file
from broker.mosquitto.dynsec import Role, User

TOPICS = Topics("lab")
MASTER = User(name="master", password="secret", role=Role.MASTER)
NODE = User(name="pi-1", password="secret", role=Role.NODE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return dynsec.write(tmp_path, [MASTER], TOPICS)


def test_a_node_comes_and_goes_and_the_others_stay_as_they_were(path: Path) -> None:
    before = path.read_bytes()
    dynsec_file.admit(path, NODE, TOPICS)
    admitted = json.loads(path.read_bytes())["clients"]
    assert [one["username"] for one in admitted] == ["master", "pi-1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert dynsec_file.dismiss(path, "pi-1")
    assert path.read_bytes() == before
    assert not dynsec_file.dismiss(path, "pi-1")


def test_admitting_twice_leaves_one_client_and_one_role() -> None:
    document = dynsec.document([MASTER], TOPICS)
    twice = dynsec_file.with_user(document, NODE, TOPICS)
    twice = dynsec_file.with_user(twice, NODE, TOPICS)
    assert [one["username"] for one in twice["clients"]] == ["master", "pi-1"]
    assert [one["rolename"] for one in twice["roles"]] == ["master", "node-pi-1"]


@pytest.mark.parametrize("content", ["", "[]", '{"clients": []}'])
def test_what_is_no_file_of_the_plugin_is_named_and_stays(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / dynsec.FILE_NAME
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"dynamic-security\.json"):
        dynsec_file.admit(path, NODE, TOPICS)
    assert path.read_text() == content


@pytest.mark.parametrize("torn", [b"", b"\0" * 512, b'{"clients": ['])
def test_at_a_start_a_torn_file_is_put_aside_and_made_again(
    path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(torn)
    user = User(name="master", password="p", role=Role.MASTER)
    dynsec_file.merge(path.parent, [user], Topics("lab"))
    made = json.loads(path.read_text())
    assert [row["username"] for row in made["clients"]] == ["master"]
    aside = path.with_suffix(".broken")
    assert aside.read_bytes() == torn
    assert "users that were added by hand must be added again" in caplog.text


def test_starting_again_keeps_what_people_added_and_renews_what_is_ours(
    path: Path,
) -> None:
    document = json.loads(path.read_bytes())
    mine = {"acltype": "subscribePattern", "topic": "plugs/#", "priority": 3}
    document["roles"][0]["acls"].append({**mine, "allow": True})
    document["roles"].append({"rolename": "grafana", "acls": []})
    stranger = {"username": "grafana", "textname": "", "roles": []}
    gone = dynsec.client(User(name="pi-9", password="x", role=Role.NODE))
    document["clients"] += [stranger, gone]
    document["groups"] = [{"groupname": "us"}]
    path.write_text(json.dumps(document))
    before = document["clients"][0]["password"]

    bound = User(name="master", password="secret", role=Role.MASTER, client_id="m-1")
    dynsec_file.merge(path.parent, [bound, NODE], TOPICS)

    after = json.loads(path.read_bytes())
    clients = {one["username"]: one for one in after["clients"]}
    assert set(clients) == {"master", "pi-1", "grafana"}
    assert clients["master"]["clientid"] == "m-1"
    assert clients["master"]["password"] == before
    roles = {one["rolename"]: one for one in after["roles"]}
    assert set(roles) == {"master", "node-pi-1", "grafana"}
    assert {**mine, "allow": True} in roles["master"]["acls"]
    assert after["groups"] == [{"groupname": "us"}]
    text = path.read_bytes()
    dynsec_file.merge(path.parent, [bound, NODE], TOPICS)
    assert path.read_bytes() == text


def test_a_password_that_was_changed_on_disk_reaches_the_file(path: Path) -> None:
    other = User(name="master", password="other", role=Role.MASTER)
    dynsec_file.merge(path.parent, [other], TOPICS)
    (row,) = json.loads(path.read_bytes())["clients"]
    assert dynsec.has_password(row, "other")
    assert not dynsec.has_password(row, "secret")
