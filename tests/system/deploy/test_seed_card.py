"""A card of ``pirack seed`` in a make-believe Pi: its first boot, and how it joins."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # comes with the page's server

from tests.system.deploy.conftest import MakePi, typed
from tests.system.deploy.pi import Pi

pytestmark = [pytest.mark.system, pytest.mark.mosquitto, pytest.mark.timeout(180)]

CMDLINE = "console=tty1 root=PARTUUID=1-02 rootwait\n"
FIRSTRUN, ENROL = "/boot/firmware/firstrun.sh", "/var/lib/pirack-seed/enrol"
JOIN_S = 120.0
USER = "keeper"
"""Not there before: `pi` is, on every make-believe Pi."""


def seed(rack: Path, card: Path, *words: str | Path) -> str:
    """Prepare a card; one without a command line is a mere folder."""
    card.mkdir(exist_ok=True)
    own = ("--to", str(card), "--user", USER)
    done = typed("seed", *map(str, words), *own, data=rack)
    assert done.returncode == 0, done.stderr
    return done.stdout


def insert(card: Path, pi: Pi) -> Path:
    """Put the card in a Pi and return its boot partition there."""
    boot = pi.files / "boot/firmware"
    shutil.copytree(card, boot, dirs_exist_ok=True)
    return boot


def cloud_init(pi: Pi, boot: Path) -> None:
    """Do what cloud-init does of what it is told there."""
    told = yaml.safe_load((boot / "user-data").read_text())
    for file in told["write_files"]:
        path = pi.files / file["path"].lstrip("/")
        path.write_text(file["content"])
        path.chmod(int(file["permissions"], 8))
    for words in told["runcmd"]:
        pi.run(" ".join(f"'{word}'" for word in words))


def boot_on(pi: Pi, *words: str) -> str:
    """Run something as systemd would, by its path, and return what it said."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return pi.run(f"cd / && env -i {path} sh {' '.join(words)}")


def until(true: Callable[[], bool], why: Callable[[], str]) -> None:
    deadline = time.monotonic() + JOIN_S
    while not true():
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def joined(
    rack: Path,
    make_pi: MakePi,
    wheel: Path,
    wheelhouse: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Pi, Path, Path]:
    """A Pi after the first boot with a card of its own, the card, and its boot."""
    pi, card = make_pi(), tmp_path_factory.mktemp("card")
    (card / "cmdline.txt").write_text(CMDLINE)
    packages = ("--wheel", wheel, "--wheelhouse", wheelhouse)
    place = ("--name", "s02n2", "--stack", "2", "--slot", "2")
    seed(rack, card, "--node", pi.node, *place, *packages)
    boot = insert(card, pi)
    boot_on(pi, FIRSTRUN)
    return pi, card, boot


def test_the_first_boot_lets_the_masters_key_in_and_nobody_by_password(
    rack: Path, joined: tuple[Pi, Path, Path]
) -> None:
    pi, _, boot = joined
    key = typed("deploy", "--print-key", data=rack).stdout
    assert pi.run(f"cat /home/{USER}/.ssh/authorized_keys") == key
    assert pi.run(f"stat -c %a /home/{USER}/.ssh/authorized_keys").strip() == "600"
    assert pi.run(f"getent shadow {USER}").split(":")[1] == "*"
    assert pi.run(f"su {USER} -c 'sudo -n id -u'").strip() == "0"
    assert (boot / "pirack-seed.log").read_text().count("failed") == 0


def test_the_first_boot_leaves_the_card_as_it_boots_every_day(
    joined: tuple[Pi, Path, Path],
) -> None:
    pi, _, boot = joined
    assert {one.name for one in boot.iterdir()} == {"cmdline.txt", "pirack-seed.log"}
    assert (boot / "cmdline.txt").read_text() == CMDLINE
    assert pi.run("cat /etc/machine-id") == ""
    assert pi.run("stat -c %a /var/lib/pirack-seed").strip() == "700"


def test_a_card_in_the_wrong_board_says_so_and_installs_nothing(
    joined: tuple[Pi, Path, Path], make_pi: MakePi
) -> None:
    _, card, _ = joined
    other = make_pi()
    insert(card, other)
    boot_on(other, FIRSTRUN)
    said = boot_on(other, ENROL, "2>&1 || echo code $?")
    assert f"this is {other.node}: exchange the cards" in said
    assert said.endswith("code 1\n")
    assert not (other.files / "etc/pirack").exists()


def test_the_board_joins_by_itself_and_nothing_of_the_seed_is_left(
    rack: Path, joined: tuple[Pi, Path, Path]
) -> None:
    pi, _, _ = joined
    log = "/var/log/enrol.log"
    boot_on(pi, ENROL, f">{log} 2>&1 &")

    def online() -> bool:
        listed = typed("node", "list", data=rack).stdout.splitlines()
        return any(
            pi.node in line and "s02n2" in line and "online" in line for line in listed
        )

    until(online, lambda: pi.run(f"cat {log}"))
    left = pi.files / "var/lib/pirack-seed"
    until(lambda: not left.exists(), lambda: pi.run(f"cat {log}"))
    assert not (pi.files / "etc/systemd/system/pirack-enrol.service").exists()
    where = "/etc/pirack/credentials.json"
    password = json.loads(pi.run(f"cat {where}"))["password"]
    places = "/boot /etc /opt/pirack /tmp /run /home /var/lib/pirack* /var/log/*.log"
    found = pi.run(f"grep -rlsF '{password}' {places} || true")
    assert found.split() == [where]


def test_a_shared_card_gives_a_host_key_of_its_own_and_lets_deploy_in(
    rack: Path, make_pi: MakePi, tmp_path: Path
) -> None:
    pi = make_pi()
    said = seed(rack, tmp_path / "card", "--shared", "--os", "cloud-init")
    assert f"pirack deploy --all --user {USER}" in said
    host_key = pi.files / "etc/ssh/ssh_host_ed25519_key.pub"
    cloned = host_key.read_text()
    cloud_init(pi, insert(tmp_path / "card", pi))
    assert host_key.read_text() != cloned
    assert (pi.files / "run/pirack-first-boot").exists()
    pi.off()
    pi.on()
    done = typed("deploy", pi.where, "--user", USER, "--dry-run", data=rack)
    assert done.returncode == 0, done.stdout + done.stderr
