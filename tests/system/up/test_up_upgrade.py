"""A data directory that ``pirack up`` of an earlier release made is opened by this one.

``stored/data-bb7333b.tar.gz`` was made by commit bb7333b: ``pirack up --simulate 2x2
--listen 127.0.0.1:28393``; then ``pirack send`` of ``node/s01n1 name attic``,
``node/attic tag web db`` and ``stack/2 power off --confirm stack/2``; ``pirack node add
pi-0badcafe --name spare``; stopped by Ctrl-C, and a place kept in ``install.sqlite`` by
its own journal. Left out: the bundle, the authority's key and certificates, lock files.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.mosquitto.credentials import derive_client_id
from dashboard.server.users import Users
from provisioning.journal import SqliteJournal
from tests.system.up.process import NODES, Up, command, wait_until

STORED = Path(__file__).parent / "stored" / "data-bb7333b.tar.gz"
RACK = Path("racks/lab-2x2")

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The rack of that directory, with this release."""
    data = tmp_path_factory.mktemp("upgrade") / "data"
    with tarfile.open(STORED) as archive:
        archive.extractall(data, filter="data")
    shutil.copy(data / "secrets/page.json", data.parent)
    started = Up(data, "--http-port", "28380", "--mqtt-port", "28384")
    try:
        started.until("online")
        yield started
    finally:
        started.stop()


def shown(up: Up) -> str:
    # Its exit code is 1: `spare` was heard once, as bb7333b saw it, and is lost.
    return command("watch", "--once", data=up.data).stdout


def test_boards_come_online_with_names_and_tags_and_power_is_as_wanted(
    upgraded: Up,
) -> None:
    wait_until(lambda: f"{NODES - 2} online" in shown(upgraded))
    said = shown(upgraded)
    assert all(word in said for word in ("2 off", "attic", "s01n2", "spare")), said
    tagged = command("send", "tag/db", "ping", data=upgraded.data)
    assert "attic" in tagged.stdout, tagged.stdout
    assert tagged.returncode == 0
    off = json.loads((upgraded.data / RACK / "master/fake-outlets.json").read_text())
    assert off["levels"] == {"stack-2": "off"}
    assert len(off["switchings"]) == 1, "the upgrade switched something"


def test_the_page_opens_with_the_login_as_before(upgraded: Up) -> None:
    kept = json.loads((upgraded.data.parent / "page.json").read_text())
    assert upgraded.run["login"] == kept
    users = Users(upgraded.data / "dashboard/users.json")
    assert users.verify(kept["username"], kept["password"]) is not None


def test_the_history_goes_on(upgraded: Up) -> None:
    said = command("events", "--limit", "500", data=upgraded.data).stdout
    assert "name node/s01n1" in said
    assert "power off stack/2" in said
    assert said.index("power off stack/2") < said.rindex("master 0.")


def test_the_slots_that_an_install_run_gave_are_known(upgraded: Up) -> None:
    journal = SqliteJournal(upgraded.data / RACK / "install/install.sqlite")
    journal.open()
    (place,) = journal.places()
    journal.close()
    assert (place.name, place.address) == ("s02n1", "192.168.23.21")
    assert place.mac == "dc:a6:32:01:02:03"


def test_client_ids_are_hard_to_guess_but_for_a_board_that_was_enrolled(
    upgraded: Up,
) -> None:
    path = upgraded.data / RACK / "broker/dynamic-security.json"
    clients = {row["username"]: row for row in json.loads(path.read_text())["clients"]}
    for name in ("master", "dashboard", "simulator"):
        assert clients[name]["clientid"].startswith(f"{name}-"), name
    passwords = json.loads((upgraded.data / "secrets/simulated.json").read_text())
    assert len(passwords) == NODES - 1
    for name, password in passwords.items():
        assert clients[name]["clientid"] == derive_client_id(name, password)
    assert clients["pi-0badcafe"]["clientid"] == "pi-0badcafe"
    assert "broker-admin" in clients
