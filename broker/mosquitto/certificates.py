"""The rack's own certificate authority and the broker's certificate, by ``openssl``.

Why the program and no library: docs/decisions/certificates.md.
"""

import ipaddress
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from broker.common.atomic import replace
from broker.common.errors import CertificateError

DAY_S = 86_400
VALID_FROM = "20200101000000Z"
"""Long ago: a Pi has no clock of its own, and one whose clock is not set yet must still
trust its broker."""
AUTHORITY_DAYS = 20 * 365
SERVER_DAYS = 5 * 365
RENEW_DAYS = 60
"""A server certificate with fewer days left is made again."""
TIMEOUT_S = 20.0
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_LONGEST_HOST = 253

_CONFIGURATION = """\
[ca]
default_ca = here
[here]
database = {work}/index
new_certs_dir = {work}
default_md = sha256
policy = policy
rand_serial = yes
unique_subject = no
[policy]
commonName = supplied
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is.

    Args:
        authority_key: The authority's private key; with it one can pass for the broker.
            Only the program that makes certificates reads it.
        authority: The authority's certificate, which every node has.
        key: The broker's private key.
        certificate: The broker's certificate.
    """

    authority_key: Path
    authority: Path
    key: Path
    certificate: Path


class Certificate(msgspec.Struct, frozen=True):
    """What a certificate says.

    Args:
        names: Host names and addresses it is for.
        expires: Unix time, seconds.
    """

    names: frozenset[str]
    expires: float

    def days_left(self, now: float) -> float:
        """Returns in how many days it expires.

        Args:
            now: Unix time, seconds.
        """
        return (self.expires - now) / DAY_S


def check_host(text: str) -> str:
    """Returns a host name or an address as a certificate can carry it.

    Raises:
        CertificateError: It is neither.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if _HOST.fullmatch(text) and len(text) <= _LONGEST_HOST:
            return text.lower().rstrip(".")
    error = (
        f"{text[:64]!r} is neither a host name nor an address, for example rack.local"
    )
    raise CertificateError(error)


def ensure(files: Files, names: Iterable[str], *, rack: str, now: float) -> bool:
    """Makes a certificate for these names if there is none; returns if it is new.

    What is there and good stays. The authority's key is never replaced, for every node
    trusts it.

    Args:
        files: Where to.
        names: Host names and addresses by which the broker is reached.
        rack: The rack's name, for people who look into the certificate.
        now: Unix time, seconds.

    Raises:
        CertificateError: It cannot be made.
        OSError: A file cannot be written.
    """
    wanted = frozenset(map(check_host, names))
    if not files.authority_key.exists():
        _make_authority(files, rack, now)
    elif not files.authority_key.stat().st_size:
        text = (
            f"{files.authority_key} is empty: put it back from a backup, or remove it "
            f"and {files.authority} and add every node again"
        )
        raise CertificateError(text)
    elif not files.authority.exists():
        text = (
            f"{files.authority} is missing beside its key {files.authority_key}: put "
            "it back (every node has it as ca.crt), or remove the key and add every "
            "node again"
        )
        raise CertificateError(text)
    present = _present(files)
    if wanted <= present.names and present.days_left(now) > RENEW_DAYS:
        return False
    # Names once given stay: there are nodes that were told them.
    _make_server(files, wanted | present.names, rack, now)
    return True


def inspect(path: Path) -> Certificate:
    """Reads a certificate file.

    Raises:
        CertificateError: It is not one.
    """
    options = ("-noout", "-enddate", "-ext", "subjectAltName")
    text = _openssl("x509", "-in", str(path), *options)
    expires = re.search(r"^notAfter=(.+)$", text, re.MULTILINE)
    if expires is None:
        error = f"{path}: openssl does not say when it expires: {text[:200]!r}"
        raise CertificateError(error)
    found = re.findall(r"(DNS|IP Address):([^,\s]+)", text)
    names = (check_host(name) for _, name in found)
    return Certificate(frozenset(names), ssl.cert_time_to_seconds(expires[1].strip()))


def _present(files: Files) -> Certificate:
    """Returns what the broker has now; without names where none is usable."""
    nothing = Certificate(frozenset(), 0.0)
    if not (files.certificate.exists() and files.key.exists()):
        return nothing
    try:
        ours = ("-CAfile", str(files.authority), str(files.certificate))
        _openssl("verify", "-no_check_time", *ours)
        own = _openssl("pkey", "-in", str(files.key), "-pubout")
        if own != _openssl("x509", "-in", str(files.certificate), "-noout", "-pubkey"):
            return nothing
        return inspect(files.certificate)
    except CertificateError:
        return nothing


def _make_authority(files: Files, rack: str, now: float) -> None:
    with tempfile.TemporaryDirectory() as work:
        subject = f"/CN=PiRack {rack} certificate authority"
        key, request = _request(Path(work), subject, ())
        extensions = ("-selfsign", "-extensions", "authority", "-keyfile", str(key))
        made = _sign(Path(work), request, now + AUTHORITY_DAYS * DAY_S, extensions)
        replace(files.authority, made, mode=0o644)
        replace(files.authority_key, key.read_bytes(), mode=0o600)


def _make_server(files: Files, names: frozenset[str], rack: str, now: float) -> None:
    with tempfile.TemporaryDirectory() as work:
        subject = f"/CN=PiRack {rack} broker"
        key, request = _request(Path(work), subject, sorted(names))
        signer = ("-cert", str(files.authority), "-keyfile", str(files.authority_key))
        extensions = ("-extensions", "server", *signer)
        made = _sign(Path(work), request, now + SERVER_DAYS * DAY_S, extensions)
        replace(files.key, key.read_bytes(), mode=0o600)
        replace(files.certificate, made, mode=0o644)


def _request(work: Path, subject: str, names: Sequence[str]) -> tuple[Path, Path]:
    """Makes a key (EC, P-256) and a request for it; returns their files."""
    key, request = work / "key", work / "request"
    (work / "index").touch()
    listed = ", ".join(map(_alternative, names)) or "DNS:none"
    text = _CONFIGURATION.format(work=work, names=listed)
    (work / "configuration").write_text(text)
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    _openssl("genpkey", *curve, "-out", str(key))
    options = ("-new", "-batch", "-config", str(work / "configuration"))
    _openssl("req", *options, "-key", str(key), "-subj", subject, "-out", str(request))
    return key, request


def _sign(work: Path, request: Path, until: float, how: Sequence[str]) -> bytes:
    """Returns the signed certificate.

    Args:
        work: Directory with the configuration.
        request: What to sign.
        until: Unix time at which it expires, seconds.
        how: Options: which extensions, and whose signature.
    """
    made = work / "made"
    end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(until))
    span = ("-startdate", VALID_FROM, "-enddate", end)
    files = ("-in", str(request), "-out", str(made))
    base = ("-batch", "-notext", "-config", str(work / "configuration"))
    _openssl("ca", *base, *how, *span, *files)
    return made.read_bytes()


def _alternative(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _openssl(*words: str) -> str:
    """Runs ``openssl`` and returns what it prints.

    Raises:
        CertificateError: It is not there, or failed; says what it said.
    """
    program = shutil.which("openssl")
    if program is None:
        text = "openssl is not installed; do: sudo apt-get install openssl"
        raise CertificateError(text)
    try:
        done = subprocess.run(  # noqa: S603  # words of ours; names were checked
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        text = f"openssl {words[0]} failed: {str(error.stderr).strip()[-300:]}"
        raise CertificateError(text) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        text = f"openssl {words[0]} does not run: {error}"
        raise CertificateError(text) from error
    return done.stdout
