"""The advice how to add an extra fits how the program was installed."""

import shlex
import sys

import msgspec
import pytest

from broker.common.extras import Origin, line

CHECKOUT = '{"dir_info": {"editable": true}, "url": "file:///home/ada/my%20rack"}'
WHEEL = '{"archive_info": {}, "url": "file:///tmp/pirack-1-py3-none-any.whl"}'
FOLDER = '{"dir_info": {}, "url": "file:///home/ada/pirack"}'


@pytest.mark.parametrize("noted", [WHEEL, FOLDER, "{}"])
def test_an_installed_copy_gets_it_by_name_and_by_its_own_python(noted: str) -> None:
    origin = msgspec.json.decode(noted, type=Origin)
    by_name = f"{sys.executable} -m pip install 'pirack[gpiod]'"
    assert line("gpiod", origin, ours=True) == by_name
    assert line("gpiod", origin, ours=False) == f"sudo {by_name}"


def test_a_checkout_that_runs_in_its_place_gets_it_from_there() -> None:
    origin = msgspec.json.decode(CHECKOUT, type=Origin)
    said = shlex.split(line("rack", origin, ours=True))
    assert said[1:] == ["-m", "pip", "install", "--editable", "/home/ada/my rack[rack]"]
