"""Where the encrypted listener is, and what its certificate is for."""

import pytest

from broker.common.errors import CertificateError, ConfigError
from pirack.listen import Listen, names, parse

EVERYWHERE = Listen("0.0.0.0", 8883)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("0.0.0.0", EVERYWHERE),
        ("192.168.1.5:8884", Listen("192.168.1.5", 8884)),
        ("::", Listen("::", 8883)),
        ("[fd00::1]:8884", Listen("fd00::1", 8884)),
        ("[::]", Listen("::", 8883)),
    ],
)
def test_an_address_with_or_without_a_port(text: str, listen: Listen) -> None:
    assert parse(text) == listen


@pytest.mark.parametrize("text", ["", "rack.local", "0.0.0.0:", "1.2.3.4:0", "8883"])
def test_anything_else_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ConfigError, match=r"ADDRESS:PORT, as 0\.0\.0\.0:8883"):
        parse(text)


def test_nodes_are_told_the_address_first_and_what_the_owner_says_before_that() -> None:
    found = names(EVERYWHERE, (), ("fd00::2", "192.168.1.5"), "Rack.lan")
    assert found[:3] == ("192.168.1.5", "fd00::2", "rack.local")
    given = names(EVERYWHERE, ("Rack.Home.Arpa",), ("192.168.1.5",), "rack")
    assert given[0] == "rack.home.arpa"
    assert {"192.168.1.5", "localhost", "127.0.0.1"} <= set(given)


def test_a_listener_on_one_address_is_for_that_one() -> None:
    found = names(Listen("10.0.0.1", 8883), (), ("10.0.0.1", "192.168.1.5"), "rack")
    assert found[0] == "10.0.0.1"
    assert "192.168.1.5" not in found


@pytest.mark.parametrize("name", ["my rack", "rack\nDNS:evil", "a,IP:1.2.3.4", "-x"])
def test_what_is_no_name_never_reaches_the_certificate(name: str) -> None:
    with pytest.raises(CertificateError, match="neither a host name nor"):
        names(EVERYWHERE, (name,), (), "rack")
