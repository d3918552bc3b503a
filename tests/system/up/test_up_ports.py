"""The ports of racks that start at the same moment."""

import contextlib
import socket
from pathlib import Path

import pytest

from broker.common.errors import ConfigError
from pirack.up.ports import Promises, choose, choose_echo
from tests.ports import free_port
from tests.system.up.process import Up

pytestmark = pytest.mark.system

HERE = "127.0.0.1"


def test_what_one_rack_has_chosen_the_next_does_not_choose_as_well() -> None:
    wanted = free_port()
    with Promises() as mine, Promises() as yours:
        assert choose(HERE, wanted, mine) < choose(HERE, wanted, yours)
        assert choose_echo(HERE, wanted, mine) < choose_echo(HERE, wanted, yours)


def test_a_port_is_anybodys_once_its_rack_is_gone() -> None:
    with Promises() as gone:
        port = choose(HERE, free_port(), gone)
    with Promises() as next_one:
        assert choose(HERE, port, next_one) == port


def test_a_port_that_is_not_free_is_not_promised() -> None:
    with socket.create_server((HERE, free_port())) as server, Promises() as mine:
        taken = server.getsockname()[1]
        assert choose(HERE, taken, mine) > taken
        server.close()
        assert choose(HERE, taken, mine) == taken


def test_an_address_of_another_machine_is_refused_and_nothing_is_kept() -> None:
    port = free_port()
    with Promises() as mine:
        with pytest.raises(ConfigError, match="use an address of this machine"):
            choose("192.0.2.1", port, mine)
        assert choose(HERE, port, mine) == port


@pytest.mark.mosquitto
@pytest.mark.timeout(120)
def test_two_racks_that_are_started_at_once_both_come_up(tmp_path: Path) -> None:
    options = ("--http-port", str(free_port()), "--mqtt-port", str(free_port()))
    with contextlib.ExitStack() as racks:
        started = []
        for name in ("one", "two"):
            started.append(Up(tmp_path / name, *options))
            racks.callback(started[-1].stop)
        first, second = (rack.ready().run for rack in started)
    assert first["url"] != second["url"]
    assert first["mqtt"]["port"] != second["mqtt"]["port"]
