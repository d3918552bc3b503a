"""Why a broker's certificate is not trusted, for a person who must mend it; pure."""

import ssl
import time

from broker.client.endpoint import Endpoint

_NOT_YET, _EXPIRED = 9, 10
_OTHER_NAMES = frozenset({62, 64})
"""``X509_V_ERR_…`` of OpenSSL's x509_vfy.h: the two of time, host name and address."""


def distrust(
    where: str, endpoint: Endpoint, error: ssl.SSLCertVerificationError
) -> str:
    """Return what is wrong with the certificate, and what would be right.

    Args:
        where: Host and port.
        endpoint: What was connected to.
        error: What OpenSSL found.
    """
    code, found = error.verify_code, error.verify_message
    if code in {_NOT_YET, _EXPIRED}:
        clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        advice = f"this machine's clock says {clock}; is it set?"
    elif code in _OTHER_NAMES:
        advice = "reach the broker by a name or address its certificate has"
    else:
        advice = (
            f"{endpoint.ca_file} is not the authority that signed its certificate; "
            "is this the rack that was meant?"
        )
    return f"the broker at {where} is not trusted: {found}; {advice}"
