"""``[install]`` of pirack.toml."""

from typing import Any

import pytest

from broker.common.config import Document
from broker.common.errors import ConfigError
from provisioning.run.plan import StackPlan
from provisioning.settings import BackendName, InstallSettings, params, read

STACKS = tuple(StackPlan(number, 4) for number in range(1, 13))


def table(**keys: Any) -> Document:  # noqa: ANN401  # values of TOML
    base = {"backend": "dnsmasq", "interface": "eth1"}
    return Document({"install": {**base, **keys}}, "pirack.toml")


def test_provisioning_is_off_until_a_back_end_is_named() -> None:
    assert not read(Document(), STACKS).on


def test_the_defaults_fit_a_rack_of_twelve_stacks() -> None:
    settings = read(table(), STACKS)
    assert settings.backend is BackendName.DNSMASQ
    wanted = params(settings, STACKS, by="ann")
    assert wanted.whole
    assert wanted.pool_size == 55
    assert wanted.layout.address(12, 4) == "192.168.23.57"


def test_a_run_over_one_stack_keeps_the_layout_of_the_whole_rack() -> None:
    wanted = params(read(table(), STACKS), STACKS, only=3)
    assert [stack.number for stack in wanted.stacks] == [3]
    assert not wanted.whole
    assert wanted.layout.address(3, 2) == "192.168.23.19"
    with pytest.raises(ConfigError, match="there is no stack 99"):
        params(InstallSettings(), STACKS, only=99)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"interface": ""}, "is not the name of an interface"),
        ({"interface": "eth1; rm"}, "is not the name of an interface"),
        ({"address": "192.168.23.1"}, "do not fit|is not in"),
        ({"address": "nonsense/24"}, "nonsense"),
        ({"first": "192.168.24.10"}, "is not in 192.168.23.0/24"),
        ({"first": "192.168.23.0"}, "network's own"),
        ({"first": "192.168.23.180"}, "overlap the pool"),
        ({"first": "192.168.23.230", "pool_first": "192.168.23.100"}, "do not fit"),
        ({"pool_last": "192.168.23.201"}, "at least 8"),
        ({"pool_last": "192.168.23.199"}, "comes before pool_first"),
        ({"address": "192.168.23.12/24"}, "among those of the boards"),
        ({"address": "192.168.23.222/24"}, "among those of the pool"),
        ({"backend": "kea", "netboot": "/srv/tftp"}, "works with dnsmasq only"),
        ({"pool_lease_s": 20}, "Expected `int` >= 120"),
        ({"intreface": "eth1"}, "did you mean 'interface'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(table(**keys), STACKS)


def test_somebody_elses_server_is_never_told_anything() -> None:
    wanted = params(read(table(backend="observe"), STACKS), STACKS)
    assert not wanted.reserves
