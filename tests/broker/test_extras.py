"""The advice how to add an extra fits how the program was installed."""

import shlex
import sys

import pytest

from broker.common.extras import command

CHECKOUT = '{"dir_info": {"editable": true}, "url": "file:///home/ada/my%20rack"}'
WHEEL = '{"archive_info": {}, "url": "file:///tmp/pirack-1-py3-none-any.whl"}'
FOLDER = '{"dir_info": {}, "url": "file:///home/ada/pirack"}'


@pytest.mark.parametrize("origin", [WHEEL, FOLDER, "{}"])
def test_an_installed_copy_gets_it_by_name_and_by_its_own_python(origin: str) -> None:
    by_name = f"{sys.executable} -m pip install 'pirack[gpiod]'"
    assert command("gpiod", origin, writable=True) == by_name
    assert command("gpiod", origin, writable=False) == f"sudo {by_name}"


def test_a_checkout_that_runs_in_its_place_gets_it_from_there() -> None:
    words = shlex.split(command("rack", CHECKOUT, writable=True))
    assert words[1:] == [
        "-m",
        "pip",
        "install",
        "--editable",
        "/home/ada/my rack[rack]",
    ]
