"""``pirack init`` and a broker that runs with what it wrote."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from broker.client.mqtt_link import check_connection
from broker.common.errors import CertificateError, LinkRefusedError
from broker.contract.topics import Topics
from broker.mosquitto import credentials, dynsec
from broker.mosquitto import program as mosquitto
from broker.mosquitto.certificates import DAY_S, SERVER_DAYS, Files, ensure, inspect
from broker.mosquitto.dynsec import Rights
from pirack import broker_users, rack_config
from tests.ports import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

NODE = "pi-0badcafe"


def pirack(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pirack.cli", *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def init(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    where = ("--etc", str(directory / "etc"), "--state", str(directory / "state"))
    owners = [
        word
        for of in ("", "master-", "dashboard-", "broker-")
        for word in (f"--{of}owner", "root")
    ]
    done = pirack("init", *where, *owners, *words)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A rack that was set up, on ports of its own."""
    port, door = free_port(), free_port()
    init(tmp_path, "--listen", f"127.0.0.1:{door}")
    for name in ("mosquitto.conf", "pirack.toml"):
        path = tmp_path / "etc" / name
        path.write_text(re.sub(r"\b1883\b", str(port), path.read_text()))
    with (tmp_path / "etc/mosquitto.conf").open("a") as file:
        file.write("user root\n")
    return tmp_path / "etc/pirack.toml"


def accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(config: Path) -> Iterator[None]:
    found = mosquitto.find()
    process = subprocess.Popen(
        [found.program, "-c", config.with_name("mosquitto.conf")],
        env=found.environment(os.environ),
    )
    port = tomllib.loads(config.read_text())["broker"]["port"]
    deadline = time.monotonic() + 30
    while not accepts(port):
        assert process.poll() is None
        assert time.monotonic() < deadline, "Mosquitto does not listen"
        time.sleep(0.02)
    yield
    process.terminate()
    process.wait(30)


def contents(directory: Path) -> dict[Path, bytes]:
    return {one: one.read_bytes() for one in directory.rglob("*") if one.is_file()}


def test_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    assert "The page's login, told this once" in init(tmp_path).stdout
    before = contents(tmp_path)
    again = init(tmp_path).stdout
    assert again.startswith("Everything was there already.")
    assert "login" not in again
    assert contents(tmp_path) == before


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    init(tmp_path)
    for path in (tmp_path / "etc/secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert (tmp_path / "state/tls/server.key").stat().st_mode & 0o777 == 0o640


@pytest.mark.mosquitto
@pytest.mark.usefixtures("broker")
def test_a_node_is_added_to_the_running_broker_and_forgotten(config: Path) -> None:
    where = ("--config", str(config))
    added = pirack("node", "add", NODE, *where)
    assert added.returncode == 0, added.stderr
    assert "signing in as the Pi will did not work" not in added.stdout
    assert "no master has ever been on this broker" in added.stdout
    assert f"{NODE} " in pirack("node", "list", *where).stdout
    report = pirack("doctor", *where).stdout
    assert "ok   certificate" in report
    assert "1 node was added; the broker knows no others" in report
    assert pirack("node", "forget", NODE, *where).returncode == 0
    assert "No node was added yet" in pirack("node", "list", *where).stdout


def test_a_broker_that_is_down_is_told_by_its_file(config: Path) -> None:
    where = ("--config", str(config))
    added = pirack("node", "add", NODE, "--name", "s01n1", *where)
    assert added.returncode == 0, added.stderr
    assert "the broker is down" in added.stdout
    assert f"pirack send {NODE} name s01n1" in added.stdout
    dynsec = config.parent.parent / "state/mosquitto/dynamic-security.json"
    assert NODE in dynsec.read_text()
    assert pirack("node", "forget", NODE, *where).returncode == 0
    assert NODE not in dynsec.read_text()


def certificate(directory: Path) -> Files:
    return Files(
        authority_key=directory / "ca.key",
        authority=directory / "ca.crt",
        key=directory / "server.key",
        certificate=directory / "server.crt",
    )


def test_a_certificate_is_made_again_for_a_new_name_or_when_it_grows_old(
    tmp_path: Path,
) -> None:
    files, now = certificate(tmp_path), time.time()
    assert ensure(files, ["rack.local", "10.0.0.1", "fd00::1"], rack="lab", now=now)
    found = inspect(files.certificate)
    assert found.names == {"rack.local", "10.0.0.1", "fd00::1"}
    assert SERVER_DAYS - 1 < found.days_left(now) <= SERVER_DAYS
    authority = files.authority.read_bytes()
    assert not ensure(files, ["rack.local"], rack="lab", now=now)
    assert ensure(files, ["attic.local"], rack="lab", now=now)
    later = now + (SERVER_DAYS - 30) * DAY_S
    assert ensure(files, ["attic.local"], rack="lab", now=later)
    assert inspect(files.certificate).names >= {"attic.local", "rack.local"}
    assert files.authority.read_bytes() == authority
    strict = ("-x509_strict", "-CAfile", files.authority, files.certificate)
    subprocess.run(["openssl", "verify", *strict], check=True, capture_output=True)


def test_an_authority_whose_certificate_is_lost_is_not_replaced(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    ensure(files, ["rack.local"], rack="lab", now=time.time())
    files.authority.unlink()
    with pytest.raises(CertificateError, match="put it back"):
        ensure(files, ["rack.local"], rack="lab", now=time.time())


def as_of_an_earlier_release(config: Path) -> None:
    """Make of what was written what commit bb7333b would have written."""
    secrets = config.parent / "secrets"
    for name in ("broker-admin", "dashboard-operator", "dashboard-admin"):
        (secrets / f"{name}.json").unlink()
    for path in (*secrets.glob("*.json"), config.parent / "credentials.json"):
        kept = json.loads(path.read_bytes())
        kept.pop("client_id", None)
        path.write_text(json.dumps(kept))
    control, every = f"{dynsec.CONTROL}/#", "pirack/v1/lab/#"
    sends = (*Topics("lab").command_filters(), "pirack/v1/lab/sim/cmd/+")
    rights = {
        "admin": Rights((control,), (), (control,), (), (control,)),
        "operator": Rights(sends, (), (every,)),
        "dashboard": Rights(sends, (), (every,)),
    }
    path = config.parent.parent / "state/mosquitto" / dynsec.FILE_NAME
    document = json.loads(path.read_bytes())
    document["clients"] = [
        one | ({"clientid": one["username"]} if "clientid" in one else {})
        for one in document["clients"]
        if (secrets / f"{one['username']}.json").exists()
        or one["username"].startswith("pi-")
    ]
    document["roles"] = [
        one | {"acls": rights[one["rolename"]].acls()}
        if one["rolename"] in rights
        else one
        for one in document["roles"]
        if one["rolename"]
        not in {"broker-admin", "dashboard-operator", "dashboard-admin"}
    ]
    path.write_text(json.dumps(document))


@pytest.fixture
def former(config: Path) -> Path:
    as_of_an_earlier_release(config)
    return config


def test_a_broker_of_an_earlier_release_is_brought_up_to_date_while_it_is_down(
    former: Path, tmp_path: Path
) -> None:
    done = init(tmp_path)
    assert "brought up to date in the broker" in done.stdout
    assert "sudo systemctl restart pirack-master" in done.stdout
    assert init(tmp_path).stdout.startswith("Everything was there already.")
    kept = json.loads((former.parent / "secrets/master.json").read_bytes())
    assert re.fullmatch(r"master-[0-9a-f]{10}", kept["client_id"])


@pytest.mark.mosquitto
def test_a_running_broker_of_an_earlier_release_is_brought_up_to_date(
    former: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("broker")
    where = ("--config", str(former))
    before = pirack("doctor", *where).stdout
    assert "missing or former rights in: admin, broker-admin, dashboard" in before
    assert re.search(r"client ids +3 of 3 can be guessed", before), before

    done = init(tmp_path)
    assert "brought up to date in the broker: broker-admin" in done.stdout
    after = pirack("doctor", *where).stdout
    assert "the broker's roles are those of this release" in after
    assert re.search(r"client ids +none of 5 can be guessed", after), after
    assert init(tmp_path).stdout.startswith("Everything was there already.")


@pytest.mark.mosquitto
@pytest.mark.usefixtures("broker")
def test_a_deployed_board_of_an_earlier_release_is_bound_when_it_has_its_client_id(
    config: Path,
) -> None:
    found = rack_config.read_access(config)
    secret, _ = broker_users.node_secret(found, NODE, renew=False)
    old = msgspec.structs.replace(secret, client_id="")
    credentials.write(found.node(NODE), old)
    asyncio.run(broker_users.admit(found, old, renewed=True))
    plain = msgspec.structs.replace(found.local_endpoint("viewer"), username=NODE)
    plain = msgspec.structs.replace(plain, password=old.password)
    asyncio.run(check_connection(plain, NODE))

    asyncio.run(broker_users.bind(found, secret))

    assert credentials.read(found.node(NODE)) == secret
    with pytest.raises(LinkRefusedError):
        asyncio.run(check_connection(plain, NODE))
    bound = msgspec.structs.replace(plain, client_id=secret.client_id)
    asyncio.run(check_connection(bound, NODE))
