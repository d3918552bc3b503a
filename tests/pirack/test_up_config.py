"""What ``pirack up`` starts with: options, and each part's own configuration."""

import argparse
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from dashboard.server.settings import DashboardSettings
from master_service.power import wiring
from master_service.rack.settings import Driver
from node_agent.settings import AgentSettings
from node_agent.simulator.settings import SimulatorSettings
from pirack import toml_writer
from pirack.up.data_directory import make
from pirack.up.part_config import (
    AGENT,
    DASHBOARD,
    MASTER,
    SIMULATOR,
    Decided,
    documents,
)
from pirack.up.settings import Options, Shape, parse_shape, resolve
from provisioning import settings as install_settings
from provisioning.run.plan import StackPlan
from provisioning.settings import BackendName


def arguments(**given: object) -> argparse.Namespace:
    names = ["simulate", "rack", "data", "http_host", "http_port", "mqtt_port"]
    empty: dict[str, object] = dict.fromkeys([*names, "listen", "name", "config"])
    switches = {"verbose": False, "allow_host_power": False}
    return argparse.Namespace(**(empty | switches | given))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("12x4", Shape(12, 4)),
        (" 2X2 ", Shape(2, 2)),
        ("0", Shape(0, 0)),
        ("0x4", Shape(0, 0)),
        ("999x64", Shape(999, 64)),
    ],
)
def test_a_shape_is_stacks_and_boards(text: str, shape: Shape) -> None:
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "12", "x4", "12x", "1x65", "-1x4", "12x4x2", "ax4"]
)
def test_what_is_no_shape_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ConfigError, match="use stacks x boards, up to 999x64, or 0"):
        parse_shape(text)


def test_without_any_word_it_is_the_rack_of_the_readme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PIRACK_DATA", raising=False)
    options = resolve(arguments(), Document())
    assert (options.rack, str(options.shape)) == ("lab", "12x4")
    assert (options.mqtt_port, options.http_port) == (1883, 8080)
    assert options.data == Path(".pirack").absolute()


def test_the_environment_names_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIRACK_DATA", str(tmp_path))
    assert resolve(arguments(), Document()).data == tmp_path


def test_the_file_goes_over_built_in_values_and_the_command_line_over_the_file() -> (
    None
):
    document = Document(
        {
            "rack": {"name": "attic", "stacks": 3, "boards": 2},
            "broker": {"port": 2883},
            "dashboard": {"http_port": 9080},
            "up": {"data": "/srv/rack"},
        }
    )
    options = resolve(arguments(http_port=9999), document)
    assert (options.rack, str(options.shape)) == ("attic", "3x2")
    assert (options.mqtt_port, options.http_port) == (2883, 9999)
    assert options.data == Path("/srv/rack")
    assert resolve(arguments(rack="shed", simulate="0"), document).rack == "shed"


@pytest.mark.parametrize(
    ("given", "up", "allowed"),
    [(False, {}, False), (True, {}, True), (False, {"allow_host_power": True}, True)],
)
def test_this_machine_is_safe_from_a_demonstration_unless_somebody_says_so(
    *, given: bool, up: dict[str, bool], allowed: bool
) -> None:
    options = resolve(arguments(allow_host_power=given), Document({"up": up}))
    assert options.allow_host_power is allowed


def test_a_typing_mistake_in_the_file_names_the_right_key() -> None:
    with pytest.raises(ConfigError, match="did you mean 'simulate'"):
        resolve(arguments(), Document({"up": {"simulat": "2x2"}}))


def test_a_rack_name_that_no_topic_can_carry_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"rack 'My Rack' must match"):
        resolve(arguments(rack="My Rack"), Document())


def test_a_file_in_the_place_of_the_data_directory_is_called_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(ConfigError, match="is a file; give a directory"):
        make(file)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    make(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700


def test_a_directory_that_holds_other_things_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    tmp_path.chmod(0o755)
    make(tmp_path)
    assert mode(tmp_path) == 0o755


SHAPE = Shape(2, 2)


def decided(
    own: dict[str, Any] | None = None,
    shape: Shape = SHAPE,
    *,
    allow_host_power: bool = False,
) -> Decided:
    options = Options(
        tables=own or {},
        rack="lab",
        shape=shape,
        data=Path("/data"),
        mqtt_host="127.0.0.1",
        mqtt_port=1883,
        http_host="127.0.0.1",
        http_port=8080,
        allow_host_power=allow_host_power,
        verbose=False,
    )
    return Decided(
        options=options,
        mqtt_host="127.0.0.1",
        mqtt_port=1884,
        http_port=8081,
        echo_port=7007,
        node="pi-0000abcd",
        node_name="attic",
        paste="mosquitto_pub",
    )


def test_every_part_reads_what_is_written_for_it() -> None:
    parts = documents(decided())
    settings = wiring.read(Document(parts[MASTER]))
    assert [node.name for node in settings.nodes] == [
        "s01n1",
        "s01n2",
        "s02n1",
        "s02n2",
        "attic",
    ]
    assert settings.master.probe == "echo:7007"
    assert settings.power.driver is Driver.FAKE
    simulator = Document(parts[SIMULATOR]).table("simulator", SimulatorSettings)
    assert (simulator.stacks, simulator.boards, simulator.echo_port) == (2, 2, 7007)
    page = Document(parts[DASHBOARD]).table("dashboard", DashboardSettings)
    assert (page.http_port, page.data) == (8081, "/data/dashboard")


def test_each_part_signs_in_as_itself() -> None:
    parts = documents(decided())
    assert {
        name: tables["broker"].get("credentials") for name, tables in parts.items()
    } == {
        MASTER: "/data/secrets/master.json",
        DASHBOARD: "/data/secrets/dashboard.json",
        AGENT: "/data/secrets/pi-0000abcd.json",
        SIMULATOR: "/data/secrets/simulator.json",
    }


def test_a_simulated_rack_can_be_installed_and_a_real_one_when_it_says_so() -> None:
    own = {"install": {"backend": "dnsmasq", "interface": "eth1"}}
    simulated = documents(decided(own, Shape(999, 64)))[MASTER]
    plans = (StackPlan(1, 64), StackPlan(999, 64))
    settings = install_settings.read(Document(simulated), plans)
    assert settings.backend is BackendName.FAKE
    assert settings.data_dir == "/data/racks/lab-999x64/install"
    real = documents(decided(own, Shape(0, 0)))[MASTER]
    assert real["install"] == {
        **own["install"],
        "data_dir": "/data/racks/lab/install",
    }


def test_without_simulation_there_is_no_simulator_and_no_fake_power() -> None:
    parts = documents(decided(shape=Shape(0, 0)))
    assert SIMULATOR not in parts
    settings = wiring.read(Document(parts[MASTER]))
    assert settings.master.probe == "icmp"
    assert settings.power.driver is Driver.NONE
    assert [node.id for node in settings.nodes] == ["pi-0000abcd"]


def test_the_persons_own_tables_stay_as_they_are() -> None:
    own = {
        "up": {"data": "/data"},
        "master": {"grace_s": 5.0},
        "power": {"settle_s": 1.0},
        "node": [
            {"id": "pi-0000abcd", "name": "shed"},
            {"id": "pi-1", "name": "attic"},
        ],
    }
    parts = documents(decided(own))
    assert "up" not in parts[MASTER]
    settings = wiring.read(Document(parts[MASTER]))
    assert settings.master.grace_s == 5.0
    assert settings.power.settle_s == 1.0
    assert [node.name for node in settings.nodes][:2] == ["shed", "attic"]
    assert len(settings.nodes) == 6


def test_this_machine_gives_way_when_its_name_is_taken() -> None:
    own = {"node": [{"id": "pi-1", "name": "attic"}]}
    rows = documents(decided(own))[MASTER]["node"]
    assert rows[-1] == {"id": "pi-0000abcd", "name": "pi-0000abcd"}


def withheld(choice: Decided) -> dict[str, str]:
    tables = documents(choice)[AGENT]
    written = tomllib.loads(toml_writer.dumps(tables))
    return Document(written).table("agent", AgentSettings).withheld


def test_a_simulated_rack_cannot_take_down_the_machine_it_runs_on() -> None:
    found = withheld(decided())
    assert set(found) == {"reboot", "shutdown", "update"}
    assert all("--allow-host-power" in reason for reason in found.values())


def test_what_a_person_withholds_stays_withheld() -> None:
    own = {"agent": {"withheld": {"identify": "no light", "reboot": "mine"}}}
    found = withheld(decided(own))
    assert found["identify"] == "no light"
    assert set(found) == {"identify", "reboot", "shutdown", "update"}


def test_nothing_is_withheld_where_it_is_allowed_or_nothing_is_simulated() -> None:
    assert withheld(decided(allow_host_power=True)) == {}
    assert withheld(decided(shape=Shape(0, 0))) == {}
