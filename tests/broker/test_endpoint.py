"""What a person is told when a broker's certificate is not trusted."""

import ssl
from pathlib import Path

import pytest

from broker.client.endpoint import Endpoint

ENDPOINT = Endpoint(host="rack.local", port=8883, ca_file=Path("/etc/pirack/ca.crt"))


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (9, "clock says"),
        (10, "clock says"),
        (62, "a name or address its certificate has"),
        (64, "a name or address its certificate has"),
        (19, "/etc/pirack/ca.crt is not the authority"),
    ],
)
def test_the_reason_comes_with_what_would_be_right(code: int, advice: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "found wrong"
    text = ENDPOINT.distrust(error)
    assert text.startswith("the broker at rack.local:8883 is not trusted: found wrong;")
    assert advice in text
