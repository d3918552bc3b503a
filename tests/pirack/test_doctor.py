"""What the doctor finds, how bad it is, and what it says to do."""

import http.server
import importlib.metadata
import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from broker.client.fake import FakeBroker
from broker.contract.messages import (
    NodeState,
    Phase,
    RackState,
    Reply,
    TargetRow,
    Verdict,
    encode,
)
from broker.contract.topics import NodeLeaf, Topics
from master_service.power.drivers.gpio_machine import GpioMachine, here
from master_service.power.simulated_pins import SimulatedHeader
from pirack import rack_config, runfile
from pirack.cli import main
from pirack.doctor import listener, live, machine, power
from pirack.doctor.check_result import CheckResult, Severity
from pirack.receipt import Receipt
from pirack.runfile import Login, MqttAccess, RunFile
from tests.gpio_stand_ins import stand_in


def version(*missing: str) -> machine.Version:
    def of(name: str) -> str:
        if name in missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    return of


def test_an_old_python_fails() -> None:
    assert machine.python((3, 10, 9)).level is Severity.FAIL
    assert machine.python((3, 11, 2)).level is Severity.OK


def test_a_missing_base_package_fails_and_a_missing_extra_only_warns() -> None:
    base, extras = machine.dependencies(version("psutil", "rich"))
    assert (base.level, base.text) == (Severity.FAIL, "missing: psutil")
    assert (extras.level, extras.text) == (
        Severity.WARN,
        "not installed: rich (coloured tables)",
    )


def test_a_page_that_nobody_serves_is_told_in_plain_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    assert live.page(url).text == f"{url}: Connection refused"


def test_a_page_that_was_just_started_is_waited_for() -> None:
    late = http.server.HTTPServer(
        ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler, bind_and_activate=False
    )
    late.server_bind()  # it refuses until it listens

    def start() -> None:
        late.server_activate()
        late.handle_request()

    with late:
        threading.Timer(live.START_POLL_S / 2, start).start()
        url = f"http://127.0.0.1:{late.server_port}/"
        assert live.page(url, start_s=20).level is Severity.OK


def test_a_broker_store_that_was_put_aside_warns(tmp_path: Path) -> None:
    assert list(machine.broker_stores(tmp_path)) == []
    aside = tmp_path / "broker/mosquitto.db.broken-20260102T030405"
    aside.parent.mkdir()
    aside.touch()
    (finding,) = machine.broker_stores(tmp_path)
    assert finding.level is Severity.WARN
    assert "at 20260102T030405 UTC" in finding.text


def test_a_data_directory_that_others_can_read_warns(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    finding = machine.data_directory(tmp_path)
    assert finding.level is Severity.WARN
    assert finding.advice.endswith(f"chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    assert machine.data_directory(tmp_path).level is Severity.OK
    assert machine.data_directory(tmp_path / "not/yet").level is Severity.OK


@pytest.mark.parametrize(
    ("synced", "level"),
    [(True, Severity.OK), (False, Severity.WARN), (None, Severity.WARN)],
)
def test_a_clock_that_is_not_set_warns(*, synced: bool | None, level: Severity) -> None:
    assert machine.clock(synced=synced).level is level


def test_a_wrong_key_in_the_file_is_named_whichever_package_owns_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pirack.toml"
    for text, word in (
        ("[agent]\nintervall_s = 5\n", "interval_s"),
        ("[dashbord]\n", "dashboard"),
        ("[simulator]\nstack = 3\n", "stacks"),
        ("[[node]]\nid = 'PI'\n", "must match"),
        ("[rack", "TOML"),
    ):
        path.write_text(text)
        (finding,) = machine.configuration_file(path)
        assert finding.level is Severity.FAIL
        assert word in finding.text
    path.write_text("[rack]\nname = 'attic'\n")
    (finding,) = machine.configuration_file(path)
    assert finding.level is Severity.OK


def test_a_file_that_cannot_be_read_is_no_reason_to_start_a_rack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--config", str(tmp_path / "gone.toml")]) == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    advice = {one["subject"]: one["advice"] for one in said}
    assert advice["configuration"] == "name another file with --config"
    assert "name another rack: --data, --config" in advice["rack"]


def receipt(*rows: TargetRow, phase: Phase = Phase.DONE) -> Receipt:
    made = Receipt("a")
    made.add(Reply(id="a", verb="ping", scope="rack", phase=phase, targets=rows))
    return made


def test_nodes_that_do_not_answer_are_named_with_their_reason() -> None:
    well = TargetRow(node="pi-1", name="s1", phase=Phase.DONE)
    away = TargetRow(
        node="pi-2", name="s2", phase=Phase.NOT_DELIVERED, error="offline since 12:00"
    )
    master, nodes = live.nodes(receipt(well, away))
    assert master.level is Severity.OK
    assert nodes.level is Severity.WARN
    assert nodes.text == "1 of 2 did not answer: s2: offline since 12:00"


def test_a_master_that_does_not_finish_fails() -> None:
    (master,) = live.nodes(receipt(phase=Phase.ACCEPTED))
    assert master.level is Severity.FAIL


async def test_a_command_left_on_the_broker_is_found() -> None:
    broker, topics = FakeBroker(), Topics("lab")
    finding = await live.retained_commands(broker.connect, topics, 0)
    assert finding.level is Severity.OK
    broker.publish("pirack/v1/lab/node/s1/cmd/reboot", b"now", retain=True)
    finding = await live.retained_commands(broker.connect, topics, 0)
    assert finding.level is Severity.WARN
    assert finding.advice.endswith("-t pirack/v1/lab/node/s1/cmd/reboot")


def test_a_certificate_that_ends_soon_warns_with_the_way_to_renew_it() -> None:
    assert listener.expiry("rack.local:8883", 400).level is Severity.OK
    soon = listener.expiry("rack.local:8883", 20)
    assert soon.level is Severity.WARN
    assert "pirack init" in soon.advice


def test_who_was_not_added_and_who_the_broker_lost_are_named() -> None:
    mine = frozenset({"master", "operator"})
    added = frozenset({"pi-1", "pi-2"})
    (fine,) = listener.members_known(mine | added, mine, added)
    assert (fine.level, fine.text[:17]) == (Severity.OK, "2 nodes were adde")
    clients = mine | {"pi-1", "stranger"}
    stranger, lost = listener.members_known(clients, mine, added)
    assert (stranger.level, lost.level) == (Severity.WARN, Severity.FAIL)
    assert stranger.text.endswith(": stranger")
    assert lost.text.endswith(": pi-2")


def test_rights_of_an_earlier_release_fail_and_client_ids_are_counted() -> None:
    assert listener.rights(()).level is Severity.OK
    old = listener.rights(("operator", "dashboard"))
    assert (old.level, old.text[-19:]) == (Severity.FAIL, "dashboard, operator")
    assert "pirack init" in old.advice
    fine = listener.client_ids({"master": "master-01", "pi-1": "pi-1-02"})
    assert fine.level is Severity.OK
    bare = listener.client_ids({"master": "master-01", "pi-1": "pi-1", "pi-2": "pi-2"})
    assert (bare.level, bare.text[:6]) == (Severity.WARN, "2 of 3")
    assert "pirack deploy" in bare.advice


def test_a_rack_on_loopback_alone_is_fine(tmp_path: Path) -> None:
    (finding,) = listener.check(None, tmp_path)
    assert finding.level is Severity.OK
    assert "only this machine" in finding.text


def test_boards_that_are_off_on_purpose_are_no_warning() -> None:
    well = TargetRow(node="pi-1", name="s1", phase=Phase.DONE)
    away = TargetRow(node="pi-2", name="s2", phase=Phase.NOT_DELIVERED)
    _, nodes = live.nodes(receipt(well, away), off={"pi-2"})
    assert (nodes.level, nodes.text) == (Severity.OK, "all 1 answer; 1 off on purpose")


async def test_what_is_off_is_read_from_the_retained_states() -> None:
    broker, topics = FakeBroker(), Topics("lab")
    for node, verdict in (("pi-1", Verdict.OFF), ("pi-2", Verdict.LOST)):
        state = NodeState(id=node, name=node, verdict=verdict, since=0.0)
        topic = topics.node(node, NodeLeaf.STATE)
        broker.publish(topic, encode(state), retain=True)
    picture = await live.pictured(broker.connect, topics, 0)
    assert live.off_on_purpose(picture) == {"pi-1"}


async def test_errors_of_the_master_itself_are_told() -> None:
    broker, topics = FakeBroker(), Topics("lab")
    state = RackState(rack="lab", errors={"KeyError in on_message": 3})
    broker.publish(topics.rack_state, encode(state), retain=True)
    picture = await live.pictured(broker.connect, topics, 0)
    (finding,) = live.errors(picture.rack)
    assert finding.level is Severity.WARN
    assert finding.text == "KeyError in on_message: 3"
    assert list(live.errors(RackState(rack="lab"))) == []


def doctor(
    capsys: pytest.CaptureFixture[str], *words: str
) -> dict[str, dict[str, str]]:
    """Run the doctor; return its findings by their subject."""
    main(["doctor", "--json", *words])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {one["subject"]: one for one in said}


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a running ``pirack up --config``, whose broker is away."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "pirack.toml"
    config.write_text("[rack]\nname = 'attic'\n")
    (tmp_path / ".pirack").mkdir(mode=0o700)
    access = MqttAccess(host="127.0.0.1", port=9, username="operator", password="x")
    run = RunFile(
        rack="attic",
        url="http://127.0.0.1:9/",
        login=Login(username="admin", password="x"),
        mqtt=access,
        pids={"supervisor": os.getpid()},
        config=str(config),
    )
    runfile.write(tmp_path / ".pirack", run)
    return config


@pytest.mark.parametrize("named", [True, False])
def test_one_call_checks_the_file_and_the_rack_that_up_runs_with_it(
    running: Path, capsys: pytest.CaptureFixture[str], *, named: bool
) -> None:
    found = doctor(capsys, *(["--config", str(running)] if named else []))
    known = f"{running}: every table and key is known"
    assert found["configuration"]["text"] == known
    assert "127.0.0.1:9" in found["broker"]["text"]  # of run.json, not of the file
    assert str(running.parent / ".pirack") in found["data directory"]["text"]


def test_another_file_than_that_of_the_running_rack_names_another_rack(
    running: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = running.with_name("other.toml")
    other.write_text("[broker]\nport = 10\n")
    found = doctor(capsys, "--config", str(other))
    assert "127.0.0.1:10" in found["broker"]["text"]


def test_a_rack_for_good_is_checked_where_its_master_keeps_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "etc.toml"
    monkeypatch.setattr(rack_config, "PRODUCTION", config)
    (tmp_path / "state").mkdir(mode=0o700)
    config.write_text(f"[master]\ndata_dir = '{tmp_path}/state'\n")
    found = doctor(capsys)
    assert found["data directory"]["text"].startswith(f"{tmp_path}/state, writable")
    config.write_text("[master\n")
    found = doctor(capsys)
    assert found["configuration"]["advice"] == "correct it in the file"
    assert "data directory" not in found  # the file would say where
    assert "broker port" not in found  # the broker of the system has it


OUTLET = """
[[outlet]]
name = "stack-1"
driver = "{driver}"
stack = 1
pin = {pin}
active_low = {active_low}
"""


def findings(
    folder: Path,
    machine: GpioMachine,
    *,
    driver: str = "gpiod",
    pin: int = 22,
    active_low: str = "false",
    more: str = "",
) -> dict[str, CheckResult]:
    path = folder / "pirack.toml"
    outlet = OUTLET.format(driver=driver, pin=pin, active_low=active_low)
    path.write_text(more + outlet)
    return {found.subject: found for found in power.check(path, machine)}


def test_without_outlets_it_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pirack.toml"
    path.write_text("[rack]\n")
    assert list(power.check(path)) == []
    assert list(power.check(None)) == []


def test_a_kernel_that_keeps_outputs_needs_no_holder(tmp_path: Path) -> None:
    found = findings(tmp_path, stand_in(SimulatedHeader()))
    assert {one.level for one in found.values()} == {Severity.OK}
    assert "/dev/gpiochip4 (pinctrl-rp1)" in found["gpio"].text
    assert "stay when the master ends" in found["gpio lines"].text


def test_a_kernel_that_drops_outputs_needs_one(tmp_path: Path) -> None:
    found = findings(tmp_path, stand_in(SimulatedHeader(), keeps=False))
    assert found["gpio lines"].level is Severity.FAIL
    assert "restart moves relays" in found["gpio lines"].text
    assert "run pirack-powerd" in found["gpio lines"].advice


def test_a_holder_that_does_not_run_fails(tmp_path: Path) -> None:
    more = f'[power]\nholder = "{tmp_path}/none.sock"\n'
    found = findings(tmp_path, stand_in(SimulatedHeader(), keeps=False), more=more)
    assert found["pirack-powerd"].level is Severity.FAIL
    assert "systemctl status pirack-powerd" in found["pirack-powerd"].advice
    assert found["gpio lines"].level is Severity.OK


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has pins")
@pytest.mark.parametrize("driver", ["gpiod", "rpi-gpio"])
def test_off_a_pi_the_missing_module_is_the_finding(
    tmp_path: Path, driver: str
) -> None:
    found = findings(tmp_path, here({}), driver=driver)
    assert found["gpio"].level is Severity.FAIL
    assert f"{sys.executable} -m pip install" in found["gpio"].text
    assert "gpio lines" not in found


def test_every_mistake_in_the_wiring_is_named_and_no_pin_moves(tmp_path: Path) -> None:
    header = SimulatedHeader()
    path = tmp_path / "pirack.toml"
    path.write_text(
        OUTLET.format(driver="gpiod", pin=1, active_low="true")
        + OUTLET.format(driver="rpi-gpio", pin=9, active_low="true").replace("-1", "-2")
        + OUTLET.format(driver="rpi-gpio", pin=9, active_low="false").replace(
            "-1", "-3"
        )
    )
    found = [one for one in power.check(path, stand_in(header)) if one.advice]
    texts = "\n".join(f"{one.level} {one.text}" for one in found)
    assert "fail outlet stack-1: pin 1 is reserved" in texts
    assert "warn outlet stack-2: GPIO9 is pulled down" in texts
    assert "fail outlet stack-3: GPIO9 is also the pin of outlet 'stack-2'" in texts
    assert header.calls == []


def test_a_pin_of_a_bus_in_use_is_named(tmp_path: Path) -> None:
    machine = stand_in(SimulatedHeader())
    busy = GpioMachine(
        machine.pins, machine.keeping, lambda path: path == "/dev/serial0"
    )
    found = findings(tmp_path, busy, pin=14)
    assert "GPIO14 is in use by the serial console" in found["wiring"].text
