"""``pirack deploy``: which boards, who each is, what it gets, what a person is told."""

import asyncio
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest

from broker.common.errors import ConfigError
from broker.contract.messages import Details, NodeState, Verdict
from broker.contract.topics import Topics
from broker.mosquitto import credentials
from broker.mosquitto.credentials import Credentials
from pirack import bundle, deploy_targets, distribution
from pirack.bundle import BoardId
from pirack.deploy_packer import BoardPacker, board_of
from pirack.deploy_view import report_line, summary, table
from pirack.deployment import placing_commands
from pirack.rack_config import RackAccess
from pirack.screen import text_of
from provisioning.deploy.remote import Snapshot
from provisioning.deploy.report import DeployStep, Report, Target, Trouble
from provisioning.run.plan import Place
from tests.provisioning.deploy_stage import KIND, handed_over, wheel_names

MAC = "dc:a6:32:01:02:03"
SLOT = Place(
    stack=3,
    slot=2,
    address="192.168.23.22",
    name="s03n2",
    mac=MAC,
    serial="100000001f3a9c2e",
)
INVENTED = Place(
    stack=4, slot=1, address="10.0.4.1", name="s04n1", mac="02:00:00:00:00:01"
)
EMPTY = Place(stack=3, slot=3, address="192.168.23.23", name="s03n3")


def details(*addresses: str, simulated: bool = False) -> Details:
    return Details(
        session="s",
        boot_id="b",
        hostname="h",
        interval_s=10,
        agent_version="1",
        addresses=addresses,
        simulated=simulated,
        macs=(INVENTED.mac,) if simulated else (),
    )


def state(node: str, name: str, *, stack: int | None, slot: int | None) -> NodeState:
    return NodeState(
        id=node, name=name, verdict=Verdict.ONLINE, since=0.0, stack=stack, slot=slot
    )


def known() -> tuple[deploy_targets.KnownBoard, ...]:
    said = {
        "pi-1f3a9c2e": details("192.168.23.222"),
        "pi-0badcafe": details("10.0.0.7"),
        "pi-00000001": details("10.0.0.1"),
        "pi-51000000": details("10.0.0.9", simulated=True),
        "pi-52000000": details(),
    }
    states = {"pi-0badcafe": state("pi-0badcafe", "shelf", stack=1, slot=1)}
    return deploy_targets.merge(
        deploy_targets.from_places([SLOT, EMPTY, INVENTED], said),
        deploy_targets.from_rack(said, states),
        own="pi-00000001",
    )


def test_all_are_the_boards_of_slots_and_those_that_speak_but_not_the_master() -> None:
    hosts = [target.host for target in deploy_targets.choose(known(), [])]
    assert hosts == ["10.0.0.7", "192.168.23.22"]


def test_that_the_master_is_left_out_is_said_where_it_would_have_been_meant() -> None:
    states = {"pi-00000001": state("pi-00000001", "desk", stack=1, slot=2)}
    said = "desk is this machine, the master's: left out, it has its agent"
    assert deploy_targets.left_out("pi-00000001", states) == said
    assert deploy_targets.left_out("pi-00000001", states, stack=1) == said
    assert deploy_targets.left_out("pi-00000001", states, stack=2) == ""
    assert deploy_targets.left_out("", states) == ""


def test_who_cannot_be_meant_is_told_before_anybody_is_tried() -> None:
    states = {
        "pi-00000001": state("pi-00000001", "desk", stack=None, slot=None),
        "pi-51000000": state("pi-51000000", "s04n1", stack=4, slot=1),
    }
    said = {"pi-51000000": details("10.0.0.9", simulated=True)}
    words = ["10.0.0.7", "desk", "S04N1", "elsewhere"]
    assert list(deploy_targets.not_meant(words, said, states, own="pi-00000001")) == [
        "desk is this machine, the master's: it has its agent",
        "S04N1 is simulated: there is no board to bring an agent to",
    ]


@pytest.mark.parametrize("word", ["s03n2", "S03N2", "pi-1f3a9c2e", MAC])
def test_a_board_is_called_by_name_id_or_hardware_address(word: str) -> None:
    (target,) = deploy_targets.choose(known(), [word])
    assert (target.host, target.mac) == ("192.168.23.22", MAC)


def test_any_other_word_is_an_address() -> None:
    (target,) = deploy_targets.choose(known(), ["10.9.9.9:2222"])
    assert target == Target(host="10.9.9.9", port=2222)
    assert len(deploy_targets.choose(known(), ["s03n2", "pi-1f3a9c2e"])) == 1


def test_a_stack_is_its_boards_and_an_empty_one_is_said_to_be() -> None:
    assert [one.name for one in deploy_targets.choose(known(), [], stack=1)] == [
        "shelf"
    ]
    with pytest.raises(ConfigError, match="no board is known in stack 9"):
        deploy_targets.choose(known(), [], stack=9)


SERIAL = {"/sys/firmware/devicetree/base/serial-number": "100000001F3A9C2E"}
WIRED = {
    "/sys/class/net/eth0/address": MAC,
    "/sys/class/net/eth0/type": "1",
    "/sys/class/net/eth0/device": "",
}
WIRELESS = {
    "/sys/class/net/a0/address": "dc:a6:32:ff:ff:ff",
    "/sys/class/net/a0/type": "1",
    "/sys/class/net/a0/device": "",
    "/sys/class/net/a0/wireless": "",
}


@pytest.mark.parametrize(
    ("files", "board"),
    [
        (SERIAL | WIRED, BoardId("pi-1f3a9c2e", told=False)),
        (WIRELESS | WIRED, BoardId("pi-32010203", told=True)),
        (WIRED | {"/../../etc/x": "out"}, BoardId("pi-32010203", told=True)),
    ],
)
def test_a_board_gets_the_id_its_own_agent_would_find(
    files: dict[str, str], board: BoardId
) -> None:
    assert board_of(Snapshot(files=files, answers={})) == board


def test_a_machine_without_serial_and_interface_has_no_id() -> None:
    with pytest.raises(ConfigError, match="neither a board serial nor"):
        board_of(Snapshot(files={}, answers={}))


def house(directory: Path, text: str = "") -> RackAccess:
    source = directory / "etc" / "enrol.toml"
    source.parent.mkdir(exist_ok=True)
    source.write_text(text)
    (directory / "ca.crt").write_text("authority")
    return RackAccess(
        topics=Topics("lab"),
        broker=("127.0.0.1", 1883),
        host="rack.local",
        port=8883,
        secrets=directory,
        tls=directory,
        dynsec=directory / "dynamic-security.json",
        source=source,
    )


def test_what_goes_to_a_board_is_one_directory_that_only_root_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit(_house: RackAccess, _whom: Credentials, *, renewed: bool) -> bool:
        return renewed

    # The broker's own tests are elsewhere; here it takes everybody.
    monkeypatch.setattr("pirack.broker_users.admit", admit)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "psutil.whl").write_bytes(b"wheel")
    before = set(tmp_path.iterdir())
    known = {"pi-1f3a9c2e": state("pi-1f3a9c2e", "s01n1", stack=1, slot=1)}
    packer = BoardPacker(house(tmp_path), known, wheelhouse=tmp_path / "wheels")
    package = asyncio.run(packer.pack(Snapshot(files=SERIAL, answers={})))
    with tarfile.open(fileobj=io.BytesIO(package.archive)) as archive:
        entries = {entry.name: entry for entry in archive}
        wheels = "pi-1f3a9c2e/wheelhouse"
        sums = archive.extractfile(f"{wheels}/SHA256SUMS")
        assert sums is not None
        digest = hashlib.sha256(b"wheel").hexdigest()
        assert sums.read().decode() == f"{digest}  psutil.whl\n"
    assert {name.split("/")[0] for name in entries} == {"pi-1f3a9c2e"}
    assert f"{wheels}/psutil.whl" in entries
    assert "pi-1f3a9c2e/deploy/node.lock" in entries
    assert any(name.endswith("-py3-none-any.whl") for name in entries)
    assert entries["pi-1f3a9c2e/credentials.json"].mode == 0o600
    assert {(one.uid, one.uname) for one in entries.values()} == {(0, "root")}
    # The password stays where it was kept, and nothing else is left behind.
    left = {one.name for one in set(tmp_path.iterdir()) - before}
    assert left == {"nodes", "etc", "ca.crt"}
    assert "secret" not in repr(package)


def test_wheels_that_a_board_made_go_to_those_of_its_kind_and_with_each_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit(_house: RackAccess, _whom: Credentials, *, renewed: bool) -> bool:
        return renewed

    monkeypatch.setattr("pirack.broker_users.admit", admit)
    found = house(tmp_path)
    known = {"pi-1f3a9c2e": state("pi-1f3a9c2e", "s01n1", stack=1, slot=1)}
    packer = BoardPacker(found, known)
    assert packer.wheels is not None
    packer.wheels.keep(KIND, handed_over().stdout, "made by s01n1 from source")
    wheels = {f"wheels/{KIND}/{name}" for name in [*wheel_names(), "SHA256SUMS"]}
    for bits, brought in (("32", wheels), ("64", set())):
        seen = Snapshot(files=SERIAL, answers={"bits": bits, "kind": KIND})
        package = asyncio.run(packer.pack(seen))
        with tarfile.open(fileobj=io.BytesIO(package.archive)) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        assert {one for one in names if one.endswith((".whl", "SUMS"))} - {
            one for one in names if one.startswith("pirack-")
        } == brought
    # Of `pirack node add`, which does not know what board it will be.
    board, secret = BoardId("pi-1", told=True), Credentials(username="n", password="p")
    made = bundle.write(found, board, secret, into=tmp_path / "bundles")
    assert all((made / name).is_file() for name in wheels)


def test_a_board_of_an_earlier_release_gets_a_client_id_that_is_kept_when_it_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admit(_house: RackAccess, _whom: Credentials, *, renewed: bool) -> bool:
        return renewed

    monkeypatch.setattr("pirack.broker_users.admit", admit)
    found, old = house(tmp_path), Credentials(username="pi-1f3a9c2e", password="p")
    found.node(old.username).parent.mkdir()
    credentials.write(found.node(old.username), old)
    known = {"pi-1f3a9c2e": state("pi-1f3a9c2e", "s01n1", stack=1, slot=1)}
    packer = BoardPacker(found, known)
    package = asyncio.run(packer.pack(Snapshot(files=SERIAL, answers={})))
    with tarfile.open(fileobj=io.BytesIO(package.archive)) as archive:
        file = archive.extractfile("pi-1f3a9c2e/credentials.json")
        assert file is not None
        brought = msgspec.json.decode(file.read(), type=Credentials)
    assert brought == packer.renamed["pi-1f3a9c2e"]
    assert brought.password == "p"
    assert brought.client_id.startswith("pi-1f3a9c2e-")
    assert credentials.read(found.node(old.username)) == old  # until it is there


def test_our_own_wheel_is_the_same_each_time_and_names_each_file_it_has() -> None:
    (name, first), (_, second) = distribution.build_wheel(), distribution.build_wheel()
    assert name.startswith("pirack-")
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        names = archive.namelist()
        record = archive.read(names[-1]).decode().splitlines()
    assert [line.split(",")[0] for line in record] == names
    assert {"node_agent/cli.py", "pirack/deploy/install"} <= set(names)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "etc/install"),
        ('[master]\ndata_dir = "/var/lib/m"\n', "/var/lib/m/install"),
        ('[master]\ndata_dir = "/m"\n[install]\ndata_dir = "/i"\n', "/i"),
    ],
)
def test_keys_are_kept_where_the_install_run_keeps_its_own(
    tmp_path: Path, text: str, where: str
) -> None:
    assert house(tmp_path, text).install_directory() == tmp_path / where
    assert deploy_targets.found_places(tmp_path) == ()


def test_under_pirack_up_they_are_where_its_master_was_told(tmp_path: Path) -> None:
    described = house(tmp_path)
    told = '[install]\ndata_dir = "/data/racks/lab/install"\n'
    described.source.with_name("master.toml").write_text(told)
    assert described.install_directory() == Path("/data/racks/lab/install")


TARGET = Target(host="192.168.23.22", name="s03n2", stack=3, slot=2)
DONE = Report(target=TARGET, step=DeployStep.DONE, node="pi-1", text="agent 1.2.3")


def test_the_master_is_told_only_what_it_does_not_know() -> None:
    there = state("pi-1", "s03n2", stack=3, slot=2)
    elsewhere = state("pi-1", "s03n2", stack=None, slot=None)
    assert placing_commands(DONE, None) == [("name", "s03n2"), ("place", "3", "2")]
    assert placing_commands(DONE, elsewhere) == [("place", "3", "2")]
    assert placing_commands(DONE, there) == []
    for step in (
        DeployStep.FAILED,
        DeployStep.READY,
    ):  # ready: a dry run, which changes nothing
        assert placing_commands(msgspec.structs.replace(DONE, step=step), None) == []


def test_what_a_person_named_or_placed_stays() -> None:
    renamed = state("pi-1", "attic", stack=3, slot=2)
    moved = state("pi-1", "attic", stack=7, slot=4)
    assert placing_commands(DONE, renamed) == placing_commands(DONE, moved) == []
    new = state("pi-1", "pi-1", stack=None, slot=None)
    assert placing_commands(DONE, new) == placing_commands(DONE, None)


def test_a_person_reads_who_why_and_how_many() -> None:
    failed = Report(
        target=Target(host="10.0.0.7"),
        step=DeployStep.FAILED,
        trouble=Trouble.UNREACHABLE,
        text="no SSH at 10.0.0.7 port 22: no answer",
    )
    assert report_line(DONE) == "s03n2            done in 0.0 s  pi-1  agent 1.2.3"
    assert report_line(failed).endswith("failed: unreachable: " + failed.text)
    assert summary([DONE, failed]) == "2 boards: 1 installed, 1 failed"


def test_the_live_table_has_a_row_for_each_board() -> None:
    failed = msgspec.structs.replace(
        DONE,
        target=Target(host="10.0.0.7"),
        step=DeployStep.FAILED,
        trouble=Trouble.UNREACHABLE,
        text="no SSH at 10.0.0.7 port 22: no answer",
    )
    head, done, *lines = map(text_of, table([DONE, failed], 60))
    assert head.split() == ["board", "node", "step", "took"]
    assert done.split() == ["s03n2", "pi-1", "done", "0.0", "s", "agent", "1.2.3"]
    assert lines[0].startswith("10.0.0.7")
    assert " ".join(" ".join(lines).split()[5:]) == failed.text
