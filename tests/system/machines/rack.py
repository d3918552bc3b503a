"""A small rack: a master that was installed by the handbook, and boards on outlets."""

import contextlib
import json
import logging
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.machines import debian, handbook
from tests.system.machines.debian import CACHE, ROOT, Card
from tests.system.machines.handbook import step
from tests.system.machines.machine import (
    MASTER,
    RASPBERRY_PI,
    CommandError,
    Switch,
    VirtualMachine,
)
from tests.system.machines.power_strip import CLIENT, PowerStrip

log = logging.getLogger(__name__)

ADDRESS = "192.168.23.1"
"""Of the master on the rack's network."""

BOARDS = ("board1", "board2", "board3", "board4")
NAMES = ("s01n1", "s01n2", "s02n1", "s02n2")
"""The machines of two stacks of two, and what the rack calls them."""

DEPLOY_OPTIONS = (
    "--key /home/pi/.ssh/id_ed25519 --wheelhouse /home/pi/wheels --deadline 300 --plain"
)
"""The boards have no internet; the master fetches what they need."""

MASTER_CARD = Card(
    script=CLIENT
    + r"""
echo rack >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 rack\n' >/etc/hosts
cat >/etc/NetworkManager/system-connections/rack.nmconnection <<'EOF'
[connection]
id=rack
type=ethernet
interface-name=eth1

[ipv4]
method=manual
address1=192.168.23.1/24

[ipv6]
method=link-local
addr-gen-mode=0
EOF
chmod 600 /etc/NetworkManager/system-connections/rack.nmconnection
"""
)
"""The card of the master's Pi: two networks, that of the house and that of the rack."""

BOARD_CARD = Card()

OLD = "bb7333b"
"""The release whose data, configuration and boards go on working."""

OLD_BOARD_CARD = Card(dhcp_client="systemd-networkd")
"""Its install runs made NetworkManager decline addresses."""

PRODUCT = """
    broker dashboard deploy master_service node_agent pirack provisioning requirements
    pyproject.toml README.md LICENSE mosquitto.conf docs/install.md
    tests/system/machines/handbook.py
"""
"""What an installed master is made from."""


def project_bundle(folder: Path, commit: str = "") -> tuple[Path, str]:
    """Returns this project as a git bundle, and a hash of what a master is made from.

    Args:
        folder: For the bundle.
        commit: Which commit; empty: the last one, with what is not committed yet.
    """
    bundle = folder / "pirack.bundle"
    clone = folder / "project"

    def git(*words: str, where: Path = clone, given: str = "") -> str:
        command = ["git", "-C", str(where), *words]
        return subprocess.check_output(command, text=True, input=given)

    command = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)]
    subprocess.run(command, check=True)
    git("checkout", "--quiet", "-B", "main", commit or "HEAD")
    if not commit:
        changes = git("diff", "--binary", "HEAD", where=ROOT)
        git("apply", "--allow-empty", given=changes)
        new = git("ls-files", "--others", "--exclude-standard", where=ROOT)
        for name in new.splitlines():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
        git("add", "--all")
        who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        git(*who, "commit", "--quiet", "--allow-empty", "-m", "As it is here")
    git("bundle", "create", "--quiet", str(bundle), "HEAD", "main")
    tree = git("ls-files", "--stage", "--", *PRODUCT.split())
    shutil.rmtree(clone)
    return bundle, debian.content_hash(tree)


def installed_master(folder: Path, commit: str = "") -> Path:
    """Returns the disk of a master that was installed by the handbook; it is off.

    Made once for what this project is now, and kept.

    Args:
        folder: For what is needed meanwhile.
        commit: Which release; empty: what is here.
    """
    bundle, content = project_bundle(folder, commit)
    base = debian.disk(MASTER_CARD)
    path = CACHE / f"master-{base.stem[-12:]}-{content}.qcow2"
    page = handbook.install_page(commit)
    if commit == OLD:  # its page left these to the reader
        page = page.replace("apt-get install", "apt-get install --yes")
        page = page.replace("sudo pirack init ", f"sudo pirack init --name {ADDRESS} ")
        page = page.replace("sudo apt-get", "sudo apt-get update\nsudo apt-get", 1)

    def build(work: Path) -> None:
        with Switch(9) as switch:
            machine = master_machine(switch, work, base)
            try:
                handbook.install(machine, bundle, page)
                power_off(machine)
            finally:
                machine.cut()
            # What it wrote, and the card below it, as one disk.
            convert = ["qemu-img", "convert", "-O", "qcow2", str(machine.card)]
            subprocess.run([*convert, str(work / "disk")], check=True)
        (work / "disk").rename(path)

    return debian.once(path, build)


def master_machine(
    switch: Switch, folder: Path, disk: Path, *, name: str = "master"
) -> VirtualMachine:
    """Returns the machine of a rack's master, without power."""
    mac = f"{RASPBERRY_PI}:fe"
    kernel = debian.kernel(MASTER_CARD.suite)
    return VirtualMachine(name, mac, disk, kernel, switch, folder, MASTER)


def power_off(machine: VirtualMachine) -> None:
    """Shuts a machine down as its owner would, then cuts it."""
    with contextlib.suppress(CommandError):  # the connection ends, sooner or later
        machine.ssh("sudo poweroff")
    wait_until(lambda: machine.is_down, "it shut down", timeout_s=120)
    machine.cut()


def wait_until(
    condition: Callable[[], object], what: str, *, timeout_s: float = 120
) -> None:
    """Waits for something, and fails with its words when it does not come."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)


@dataclass
class Rack:
    """A master, its boards, and the power strip between them."""

    master: VirtualMachine
    boards: list[VirtualMachine]
    strip: PowerStrip
    switch: Switch

    def pirack(self, words: str, *, timeout_s: float = 120) -> str:
        """Runs ``sudo pirack ...`` on the master, and returns what it printed."""
        return self.master.ssh(f"sudo pirack {words}", timeout_s=timeout_s)

    def send(self, words: str, *, timeout_s: float = 120) -> str:
        """Sends a command, and returns its receipt; it must be done."""
        return self.pirack(f"send {words}", timeout_s=timeout_s)

    def retained(self, topic: str = "#") -> dict[str, Any]:
        """Returns what the broker keeps below the rack's prefix, by topic.

        Heard by ``mosquitto_sub``; JSON is decoded, other text stays text.
        """
        prefix = "pirack/v1/lab/"
        command = (
            "p=$(sudo cat /etc/pirack/secrets/viewer.json | python3 -c "
            "'import json,sys; print(json.load(sys.stdin)[\"password\"])') && "
            'mosquitto_sub -h 127.0.0.1 -p 1883 -u viewer -P "$p" '
            f"-t '{prefix}{topic}' -F '%t %p' --retained-only -W 3 || true"
        )
        found: dict[str, Any] = {}
        for line in self.master.ssh(command).splitlines():
            if not line.startswith(prefix):  # its own words, as that time is up
                continue
            name, _, text = line.partition(" ")
            try:
                found[name.removeprefix(prefix)] = json.loads(text)
            except json.JSONDecodeError:
                found[name.removeprefix(prefix)] = text
        return found

    def verdicts(self) -> dict[str, str]:
        """Returns the verdict of each board that has a name, by name."""
        states = [
            one
            for topic, one in self.retained("node/+/state").items()
            if isinstance(one, dict)
        ]
        return {one["name"]: one["verdict"] for one in states}

    def wait_for(self, verdict: str, *names: str, timeout_s: float = 400) -> None:
        """Waits until boards have a verdict."""

        def all_have() -> bool:
            now = self.verdicts()
            return all(now.get(name) == verdict for name in names)

        try:
            wait_until(all_have, f"{', '.join(names)}: {verdict}", timeout_s=timeout_s)
        except AssertionError as error:
            text = f"{error}; they are {self.retained('node/+/state')}"
            raise AssertionError(text) from error

    def disk_recoveries(self) -> dict[str, int]:
        """Returns how often each board's disk had to be recovered at its last boot."""
        command = "sudo journalctl -k -b 0 | grep -c 'recovery complete' || true"
        return {one.name: int(one.ssh(command)) for one in self.boards}

    def wait_for_ssh(self) -> None:
        """Waits until every board lets us in."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda one: one.wait_for_ssh(), self.boards))


@contextlib.contextmanager
def new_rack(folder: Path, commit: str = "") -> Iterator[Rack]:
    """Builds a rack of two stacks of two boards, as it is before its first install run.

    All outlets are off; the master was installed by the handbook, and runs.

    Args:
        folder: For the cards of its machines.
        commit: Which release is installed; empty: what is here.
    """
    disk = debian.disk(OLD_BOARD_CARD if commit else BOARD_CARD)
    master = installed_master(folder, commit)
    with _rack(folder, {"master": master, **dict.fromkeys(BOARDS, disk)}) as rack:
        with step("master: boot"):
            rack.master.start()
            rack.master.wait_for_ssh()
        configure(rack, handbook.install_page(commit))
        yield rack


@contextlib.contextmanager
def deployed_rack(folder: Path, commit: str = "") -> Iterator[Rack]:
    """Starts a rack whose boards were found, addressed and deployed: all are online.

    Args:
        folder: For the cards of its machines.
        commit: Which release is installed; empty: what is here.
    """
    content = installed_master(folder, commit).stem, BOARD_CARD, OLD_BOARD_CARD
    saved = CACHE / f"rack-{debian.content_hash(content)}"
    debian.once(saved, lambda work: _save(saved, work, commit))
    cards = {one.stem: one for one in saved.glob("*.qcow2")}
    with _rack(folder, cards) as rack:
        with step("rack: the mains are back"):
            rack.strip.on = dict.fromkeys(rack.strip.on, True)
            rack.strip.mains_back()
            rack.master.start()
            rack.master.wait_for_ssh()
            rack.wait_for("online", *NAMES)
        yield rack


def _save(saved: Path, work: Path, commit: str) -> None:
    """Makes the cards of a rack whose boards are deployed."""
    run, made = work / "run", work / "made"
    run.mkdir()
    made.mkdir()
    with new_rack(run, commit) as rack:
        find_boards(rack)
        deploy(rack)
        for machine in (*rack.boards, rack.master):
            power_off(machine)
        for machine in (*rack.boards, rack.master):
            machine.card.rename(made / machine.card.name)
    made.rename(saved)


@contextlib.contextmanager
def _rack(folder: Path, cards: dict[str, Path]) -> Iterator[Rack]:
    """A rack without power; what has a card in it."""
    kernel = debian.kernel(BOARD_CARD.suite)
    with Switch() as switch:
        boards = [
            VirtualMachine(
                name, f"{RASPBERRY_PI}:{n:02x}", cards[name], kernel, switch, folder
            )
            for n, name in enumerate(BOARDS, start=1)
        ]
        strip = PowerStrip({1: boards[:2], 2: boards[2:]})
        master = master_machine(switch, folder, cards["master"])
        master.kernel_words = f"power_strip={strip.port}"
        try:
            yield Rack(master, boards, strip, switch)
        except BaseException:
            for machine in boards:
                tail = machine.console()[-1500:]
                log.warning("%s said last:\n%s", machine.name, tail)
            raise
        finally:
            master.cut()
            strip.close()


def find_boards(rack: Rack) -> str:
    """Runs an install run from nothing, and returns what it printed."""
    with step("install run"):
        return rack.pirack("install start --yes --plain", timeout_s=600)


def deploy(rack: Rack, which: str = "--all") -> str:
    """Deploys boards, and returns what was printed; each must be online afterwards."""
    rack.master.ssh(
        "test -e wheels || /opt/pirack/bin/pip download --quiet --no-deps "
        "--only-binary=:all: --dest wheels msgspec paho-mqtt psutil",
        timeout_s=300,
    )
    with step("deploy"):
        words = f"deploy {which} {DEPLOY_OPTIONS}"
        return rack.pirack(words, timeout_s=900)


def configure(rack: Rack, page: str) -> None:
    """Describes the rack in ``pirack.toml`` as its owner would, for our outlets.

    Args:
        rack: Whose master runs.
        page: The text of ``docs/install.md``.
    """
    toml = rack.master.ssh("sudo cat /etc/pirack/pirack.toml")
    rows = '[rack]\nname = "lab"\nstacks = 2\nboards = 2\n'
    toml = _replace_table(toml, "rack", rows)
    heading = "Boards that are found and addressed"
    [network] = handbook.blocks(page, heading, "toml")
    toml = _replace_table(toml, "install", network)
    toml += "".join(_outlet(number) for number in rack.strip.on)
    write(rack.master, "/etc/pirack/pirack.toml", toml)
    rack.master.put(debian.key(), "/home/pi/.ssh/id_ed25519")
    rack.master.ssh("chmod 600 .ssh/id_ed25519")
    [lines] = handbook.blocks(page, heading)
    before, _, _ = lines.partition("sudo pirack install start")
    handbook.paste(rack.master, before.replace("install dnsmasq", "install -y dnsmasq"))


def write(machine: VirtualMachine, path: str, text: str) -> None:
    """Writes a text into a file that is there; its owner and mode stay."""
    machine.ssh(f"sudo tee {path} >/dev/null", given=text)


def _replace_table(toml: str, name: str, rows: str) -> str:
    """Returns a configuration with other rows in one of its tables."""
    table = re.compile(rf"^\[{name}\]$.*?(?=^\[|\Z)", re.DOTALL | re.MULTILINE)
    assert table.search(toml), f"pirack.toml has no [{name}]:\n{toml}"
    return table.sub(lambda _: rows + "\n", toml)


def _outlet(number: int) -> str:
    commands = "\n".join(
        f'{verb} = ["/usr/local/bin/power-strip", "{verb}", "{number}"]'
        for verb in ("on", "off", "status")
    )
    return f"""
[[outlet]]
name = "stack-{number}"
driver = "command"
stack = {number}

[outlet.commands]
{commands}
status_on = "power on"
status_off = "power off"
timeout_s = 25
"""
