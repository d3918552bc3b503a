"""The parts of pirack up: data directory, passwords, names, what it prints."""

import asyncio
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from broker.client.fake import FakeBroker
from broker.common.errors import ConfigError
from broker.common.processes import how_it_ended
from broker.contract.messages import (
    Heartbeat,
    MasterDetails,
    Payload,
    RackState,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from broker.mosquitto.dynsec import BrokerRole
from dashboard.server.users import Users
from pirack import runfile
from pirack.runfile import Login, MqttAccess, RunFile
from pirack.up import client_tools, data_directory, passwords, prepare, startup
from pirack.up.settings import Shape
from pirack.up.startup import OnlineCount, Readiness, wait
from pirack.up.supervisor import PAUSES

ACCESS = MqttAccess(
    host="127.0.0.1", port=1884, username="operator", password="se cret"
)
RUN = RunFile(
    rack="lab",
    url="http://127.0.0.1:8081/",
    login=Login(username="admin", password="abcd-efgh"),
    mqtt=ACCESS,
    pids={"supervisor": 1},
    tools="/data/client",
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


TORN = (b"", b"\0" * 512, b'{"username": "mas')
"""What a power cut leaves of a file: nothing, blocks of zeros, a part."""


def test_a_second_rack_on_the_same_directory_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    with (
        data_directory.locked(tmp_path),
        pytest.raises(ConfigError, match=r"process \d+\) uses .*--data DIR"),
        data_directory.locked(tmp_path),
    ):
        pass
    with data_directory.locked(tmp_path):
        pass


def mqtt_password(path: Path) -> str:
    return passwords.mqtt_user(path, "master", BrokerRole.VIEWER).password


def test_passwords_are_kept_and_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "master.json"
    first = mqtt_password(path)
    assert len(first) >= 32
    assert mode(path) == 0o600
    assert mqtt_password(path) == first


def test_new_nodes_get_passwords_and_old_ones_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "simulated.json"
    first = passwords.node_passwords(path, ["a", "b"])
    second = passwords.node_passwords(path, ["b", "c"])
    assert second["b"] == first["b"]
    assert set(second) == {"b", "c"}
    assert passwords.node_passwords(path, ["a"]) == {"a": first["a"]}


@pytest.mark.parametrize("torn", TORN)
def test_a_damaged_password_file_is_put_aside_and_made_again(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, nodes = tmp_path / "master.json", tmp_path / "simulated.json"
    for one in (path, nodes):
        one.write_bytes(torn)
    made = mqtt_password(path)
    assert mqtt_password(path) == made
    assert passwords.node_passwords(nodes, ["a"]) == passwords.node_passwords(
        nodes, ["a"]
    )
    for one in (path, nodes):
        aside = one.with_suffix(".broken")
        assert aside.read_bytes() == torn
        assert f"put aside as {aside}" in caplog.text


@pytest.mark.parametrize("torn", TORN)
def test_a_login_survives_a_users_file_that_was_torn(
    tmp_path: Path, torn: bytes
) -> None:
    kept, users = tmp_path / "page.json", tmp_path / "users.json"
    login = passwords.page_login(kept, users)
    users.write_bytes(torn)
    assert passwords.page_login(kept, users) == login
    assert Users(users).verify(login.username, login.password) is not None
    kept.write_bytes(torn)
    login = passwords.page_login(kept, users)
    assert Users(users).verify(login.username, login.password) is not None
    assert len(list(tmp_path.glob("*.broken"))) == 2


@pytest.mark.parametrize("torn", TORN)
def test_a_damaged_run_file_is_that_of_no_rack(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "run.json").write_bytes(torn)
    assert runfile.read(tmp_path) is None
    assert [one.name for one in tmp_path.iterdir()] == ["run.broken"]


def test_a_lost_users_file_gets_a_new_administrator(tmp_path: Path) -> None:
    kept, users = tmp_path / "page.json", tmp_path / "users.json"
    passwords.page_login(kept, users)
    users.unlink()
    login = passwords.page_login(kept, users)
    assert Users(users).verify(login.username, login.password) is not None


def test_option_files_hold_the_secret_so_that_the_line_does_not(tmp_path: Path) -> None:
    directory = client_tools.write(tmp_path, ACCESS)
    assert mode(directory) == 0o700
    assert mode(directory / "mosquitto_pub") == 0o600
    assert (directory / "mosquitto_rr").read_text().splitlines() == [
        "-h 127.0.0.1",
        "-p 1884",
        "-u operator",
        "-P se cret",
    ]
    line = client_tools.line(directory, "mosquitto_pub", "-t", "a/b c")
    assert line == f"XDG_CONFIG_HOME={directory} mosquitto_pub -t 'a/b c'"


def test_the_run_file_is_for_the_owner_only_and_comes_back(tmp_path: Path) -> None:
    runfile.write(tmp_path, RUN)
    assert mode(tmp_path / "run.json") == 0o600
    assert runfile.read(tmp_path) == RUN
    runfile.remove(tmp_path)
    runfile.remove(tmp_path)
    assert runfile.read(tmp_path) is None


def test_a_run_file_left_behind_by_a_killed_supervisor_counts_as_none(
    tmp_path: Path,
) -> None:
    gone = RunFile(
        rack="lab", url="", login=RUN.login, mqtt=ACCESS, pids={"supervisor": 2**30}
    )
    runfile.write(tmp_path, gone)
    assert runfile.read(tmp_path) is None


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("Attic.local", "attic"),
        ("My Pi_4", "my-pi-4"),
        ("--", "pi-1"),
        ("", "pi-1"),
        ("a" * 40, "a" * 32),
    ],
)
def test_a_hostname_becomes_a_name_of_the_contract(hostname: str, name: str) -> None:
    assert prepare.node_name("pi-1", hostname) == name


def node_id(tables: dict[str, Any], kept: Path, root: Path) -> str:
    return prepare.node_id(tables, kept, before="", root=root)


def test_a_demonstration_runs_on_a_machine_without_any_interface(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "node-id"
    made = node_id({}, kept, tmp_path)
    assert made.startswith("pi-")
    assert node_id({}, kept, tmp_path) == made


def test_the_same_data_keeps_its_identity_with_another_network_card(
    tmp_path: Path,
) -> None:
    kept, card = tmp_path / "node-id", tmp_path / "sys/class/net/eth0"
    card.mkdir(parents=True)
    (card / "type").write_text("1\n")
    (card / "address").write_text("dc:a6:32:01:02:03\n")
    assert node_id({}, kept, tmp_path) == "pi-32010203"
    (card / "address").write_text("dc:a6:32:0a:0b:0c\n")
    assert node_id({}, kept, tmp_path) == "pi-32010203"
    assert node_id({"agent": {"id": "pi-mine"}}, kept, tmp_path) == "pi-mine"


def test_data_of_an_earlier_release_keep_their_identity(tmp_path: Path) -> None:
    part, kept = tmp_path / "agent.toml", tmp_path / "node-id"
    assert prepare.earlier_id(part) == ""
    part.write_text('[agent]\nid = "pi-ac110002"\n')
    before = prepare.earlier_id(part)
    assert prepare.node_id({}, kept, before=before, root=tmp_path) == "pi-ac110002"
    assert kept.read_text() == "pi-ac110002\n"
    part.write_bytes(b"\0\0")
    assert prepare.earlier_id(part) == ""


def test_a_part_is_started_again_soon_then_ever_more_slowly() -> None:
    delays = [PAUSES.after(ends, 0.0) for ends in (1, 2, 3, 4, 5, 500)]
    assert delays == [2.0, 4.0, 8.0, 16.0, PAUSES.longest_s, PAUSES.longest_s]
    assert PAUSES.after(1, 1.0) == pytest.approx(2.2)


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "exit code 1"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")],
)
def test_how_a_part_ended_is_said_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def told(shape: Shape, *moved: tuple[str, int, int]) -> list[str]:
    return list(
        startup.lines(
            startup.Announcement(
                run=RUN,
                shape=shape,
                node_name="attic",
                broker="Mosquitto 2.0.11",
                data=Path("/data"),
                publish="mosquitto_pub",
                subscribe="mosquitto_sub",
                pirack="pirack",
                moved=moved,
            )
        )
    )


def test_the_start_tells_where_the_page_is_how_to_sign_in_and_what_to_paste() -> None:
    text = "\n".join(told(Shape(12, 4)))
    assert "PiRack lab: 12 stacks of 4, simulated, and this machine (attic)" in text
    assert "http://127.0.0.1:8081/" in text
    assert "admin   abcd-efgh" in text
    assert (
        "XDG_CONFIG_HOME=/data/client mosquitto_pub "
        "-t pirack/v1/lab/stack/3/cmd/ping -n"
    ) in text
    assert "se cret" not in text


def test_a_small_rack_gets_an_example_that_exists() -> None:
    assert startup.example_target(Shape(2, 2)) == "stack/2"
    assert startup.example_target(Shape(0, 0)) == "rack"


def test_a_port_that_moved_is_the_first_thing_said() -> None:
    first = told(Shape(1, 1), ("page", 8080, 8081))[0]
    assert first == "Port 8080 is taken by another program: the page uses 8081."


TOPICS = Topics("lab")
START = 1000.0


def rack(**totals: int) -> RackState:
    return RackState(rack="lab", totals={Verdict(one): n for one, n in totals.items()})


def master(started: float) -> MasterDetails:
    return MasterDetails(session="s", hostname="h", version="1", started=started)


def count(*said: Payload) -> OnlineCount:
    made = OnlineCount(since=START)
    for one in said:
        made.take(one)
    return made


def test_a_node_counts_when_the_new_master_judged_it() -> None:
    assert count(master(START + 1), rack(online=2)).online == 2


def test_what_the_last_master_said_does_not_count() -> None:
    assert count(master(START - 60), rack(online=2)).online == 0
    assert count(rack(online=2), master(START + 1)).online == 0


async def test_a_node_that_is_not_heard_does_not_count() -> None:
    broker = FakeBroker()
    broker.publish(TOPICS.master_details, encode(master(time.time() + 60)), retain=True)
    page = await asyncio.start_server(lambda _, out: out.close(), "127.0.0.1", 0)
    port = page.sockets[0].getsockname()[1]
    began = time.monotonic()
    waiting = asyncio.create_task(
        wait(broker.connect, TOPICS, ("127.0.0.1", port), nodes=1, began=began)
    )
    await broker.settle()
    broker.publish(TOPICS.rack_state, encode(rack(online=1)), retain=True)
    await asyncio.sleep(0.3)
    assert not waiting.done()
    beat = Heartbeat(session="s", seq=1, ts=0, uptime_s=1)
    broker.publish(TOPICS.node("a", NodeLeaf.HEARTBEAT), encode(beat))
    assert (await waiting).complete
    page.close()
    await page.wait_closed()


def test_a_node_that_is_off_on_purpose_is_not_waited_for() -> None:
    off = rack(online=1, off=4)
    assert count(off, master(START + 1)).off == 0  # said by the master of the last run
    seen = count(off, master(START + 1), off)
    assert (seen.online, seen.off) == (1, 4)
    ready = Readiness(online=1, off=4, nodes=5, page=True, took_s=2)
    assert ready.complete
    said = "Ready. 1 of 5 online, 4 off on purpose, the page answers: 2.0 s."
    assert str(ready) == said


def test_the_last_line_says_what_is_missing() -> None:
    whole = Readiness(online=5, nodes=5, page=True, took_s=3.21)
    assert str(whole) == "Ready. 5 of 5 online, the page answers: 3.2 s."
    part = Readiness(online=4, nodes=5, page=True, took_s=60)
    assert str(part).startswith("Not all is up. 4 of 5 online")
