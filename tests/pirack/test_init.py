"""``pirack init``: the configuration it writes, before anything is written."""

import argparse
from pathlib import Path

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from broker.mosquitto import credentials
from pirack import distribution, rack_config
from pirack.init.cli import add_arguments, planned, steps
from pirack.init.rack_files import InitPlan, broker_config, tables
from pirack.listen import Listen

PLUGIN = Path("/usr/lib/x/mosquitto_dynamic_security.so")
ETC, STATE = Path("/etc/pirack"), Path("/var/lib/pirack")
EVERYWHERE = Listen("0.0.0.0", 8883)
UNITS = distribution.deploy_directory()


def plan(listen: Listen = EVERYWHERE) -> InitPlan:
    return InitPlan(
        rack="lab",
        listen=listen,
        names=("rack.local",),
        node="pi-1",
        etc=ETC,
        state=STATE,
        owner="pirack",
        master_owner="pirack-master",
        dashboard_owner="pirack-dashboard",
        broker_owner="mosquitto",
    )


def written(listen: Listen = EVERYWHERE) -> list[str]:
    shipped = distribution.mosquitto_conf().read_text()
    return broker_config(shipped, plan(listen), PLUGIN).splitlines()


def test_the_shipped_broker_configuration_gets_this_machines_plugin_and_listener() -> (
    None
):
    lines = written(Listen("10.0.0.1", 8884))
    assert f"plugin {PLUGIN}" in lines
    assert "listener 8884 10.0.0.1" in lines
    assert "listener 1883 127.0.0.1" in lines
    assert "allow_anonymous false" in lines


def test_the_id_of_the_masters_pi_stays_what_it_was(tmp_path: Path) -> None:
    asked = argparse.ArgumentParser()
    add_arguments(asked)
    args = asked.parse_args(["--etc", str(tmp_path)])
    credentials.write(
        tmp_path / "credentials.json",
        credentials.Credentials(username="pi-ac110002", password="x"),
    )
    again = planned(args)
    assert again.node == "pi-ac110002"
    assert tables(again)["agent"] == {"id": "pi-ac110002"}


def test_every_address_of_both_kinds_is_said_without_one() -> None:
    assert "listener 8883" in written(Listen("::", 8883))
    assert "listener 8883 0.0.0.0" in written()


def test_the_shipped_files_have_the_paths_that_init_uses() -> None:
    shipped = distribution.mosquitto_conf().read_text()
    made = plan()
    for path in (made.dynsec, made.tls / "server.crt", made.tls / "server.key"):
        assert f" {path}\n" in shipped
    assert f" {made.broker}/\n" in shipped


@pytest.mark.parametrize("service", ["master", "dashboard"])
def test_each_service_signs_in_as_itself_and_keeps_its_state_apart(
    service: str,
) -> None:
    unit = (UNITS / f"pirack-{service}.service").read_text()
    assert f"--config {plan().config}" in unit
    assert f"PIRACK_CREDENTIALS={plan().secrets / service}.json" in unit
    # systemd takes a state directory over with all below it; the broker's must not be.
    assert f"StateDirectory=pirack-{service}\n" in unit


def test_a_shipped_file_that_lost_a_line_is_an_error_and_no_half_configuration() -> (
    None
):
    with pytest.raises(ConfigError, match="0 lines 'plugin'"):
        broker_config("listener 8883\n", plan(), PLUGIN)


def test_what_is_written_is_what_pirack_node_reads() -> None:
    found = rack_config.access_of(Document(tables(plan())), ETC / "pirack.toml")
    assert found is not None
    assert (found.host, found.port) == ("rack.local", 8883)
    assert found.secrets == ETC / "secrets"
    assert found.dynsec == STATE / "mosquitto/dynamic-security.json"
    assert found.own == ETC / "credentials.json"


def test_the_next_steps_name_files_that_exist() -> None:
    words = [word for line in steps(plan()) for word in line.split()]
    ours = [Path(word) for word in words if word.startswith(str(UNITS))]
    assert len(ours) == 2
    assert all(one.exists() for one in ours)
