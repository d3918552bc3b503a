"""Who may say what at the broker, and the plugin's file while it is down."""

import base64
import json
import stat
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from broker.contract.topics import Topics
from broker.mosquitto import dynsec
from broker.mosquitto.dynsec import BrokerRole, BrokerUser

TOPICS = Topics("lab")
MASTER = BrokerUser(name="master", password="secret", role=BrokerRole.MASTER)
NODE = BrokerUser(name="pi-1", password="secret", role=BrokerRole.NODE)
OPERATOR = BrokerUser(name="operator", password="secret", role=BrokerRole.OPERATOR)


def test_passwords_are_hashed_as_mosquitto_ctrl_does() -> None:
    """A pair made by ``mosquitto_ctrl dynsec init`` of 2.0.11 for ``secret``."""
    assert dynsec.hash_password("secret", base64.b64decode("cdhFIN0BievLWuyg")) == (
        "0mEwYjybgxIV7OXjZWE+UBkj+NV1WuNtoBuMsvUS52aQBPeCwuP8z4QndrtwJq9W"
        "+MxdqEZtUeszApQr21Utnw=="
    )


def test_nodes_and_services_are_bound_to_their_client_id_and_people_are_not() -> None:
    clients = dynsec.document([NODE, OPERATOR], TOPICS)["clients"]
    assert [one.get("clientid") for one in clients] == ["pi-1", None]


def test_each_node_has_a_role_of_its_own() -> None:
    users = [
        NODE,
        BrokerUser(name="pi-2", password="secret", role=BrokerRole.NODE),
        OPERATOR,
    ]
    roles = dynsec.document(users, TOPICS)["roles"]
    assert [one["rolename"] for one in roles] == [
        "node-pi-1",
        "node-pi-2",
        "operator",
    ]


@pytest.mark.parametrize("role", BrokerRole)
def test_no_role_but_the_masters_may_publish_state(role: BrokerRole) -> None:
    user = BrokerUser(name="somebody", password="secret", role=role)
    granted = dynsec.rights_of(user.role_name, TOPICS).publish
    assert (f"{TOPICS.prefix}/#" in granted) is (role is BrokerRole.MASTER)


def test_the_file_is_private_and_holds_no_password(tmp_path: Path) -> None:
    path = dynsec.write(tmp_path, [NODE], TOPICS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "secret" not in text
    assert json.loads(text)["defaultACLAccess"]["publishClientSend"] is False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return dynsec.write(tmp_path, [MASTER], TOPICS)


def test_a_node_comes_and_goes_and_the_others_stay_as_they_were(path: Path) -> None:
    before = path.read_bytes()
    dynsec.add_user(path, NODE, TOPICS)
    admitted = json.loads(path.read_bytes())["clients"]
    assert [one["username"] for one in admitted] == ["master", "pi-1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert dynsec.remove_node(path, "pi-1")
    assert path.read_bytes() == before
    assert not dynsec.remove_node(path, "pi-1")


def test_adding_twice_leaves_one_client_and_one_role(path: Path) -> None:
    dynsec.add_user(path, NODE, TOPICS)
    dynsec.add_user(path, NODE, TOPICS)
    document = json.loads(path.read_bytes())
    assert [one["username"] for one in document["clients"]] == ["master", "pi-1"]
    assert [one["rolename"] for one in document["roles"]] == ["master", "node-pi-1"]


@pytest.mark.parametrize("content", ["", "[]", '{"clients": []}'])
def test_what_is_no_file_of_the_plugin_is_named_and_stays(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / dynsec.FILE_NAME
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"dynamic-security\.json"):
        dynsec.add_user(path, NODE, TOPICS)
    assert path.read_text() == content


@pytest.mark.parametrize("torn", [b"", b"\0" * 512, b'{"clients": ['])
def test_at_a_start_a_torn_file_is_put_aside_and_made_again(
    path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(torn)
    user = BrokerUser(name="master", password="p", role=BrokerRole.MASTER)
    dynsec.merge(path.parent, [user], Topics("lab"))
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
    gone = dynsec.client(BrokerUser(name="pi-9", password="x", role=BrokerRole.NODE))
    document["clients"] += [stranger, gone]
    document["groups"] = [{"groupname": "us"}]
    path.write_text(json.dumps(document))
    before = document["clients"][0]["password"]

    bound = BrokerUser(
        name="master", password="secret", role=BrokerRole.MASTER, client_id="m-1"
    )
    dynsec.merge(path.parent, [bound, NODE], TOPICS)

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
    dynsec.merge(path.parent, [bound, NODE], TOPICS)
    assert path.read_bytes() == text


def test_a_password_that_was_changed_on_disk_reaches_the_file(path: Path) -> None:
    other = BrokerUser(name="master", password="other", role=BrokerRole.MASTER)
    dynsec.merge(path.parent, [other], TOPICS)
    (row,) = json.loads(path.read_bytes())["clients"]
    assert dynsec.has_password(row, "other")
    assert not dynsec.has_password(row, "secret")
