"""What goes wrong in the life of a rack, on boards that are online.

One story on one rack: each test goes on where the one before it ended.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.machines import debian
from tests.system.machines.handbook import step
from tests.system.machines.machine import RASPBERRY_PI, CommandError, VirtualMachine
from tests.system.machines.rack import BOARD_CARD, NAMES, Rack, deploy, wait_until

pytestmark = [pytest.mark.system, pytest.mark.machines, pytest.mark.timeout(1500)]

KILL_MASTER = "sudo systemctl kill --signal=KILL pirack-master"


def test_a_frozen_board_is_lost_until_it_goes_on(deployed: Rack) -> None:
    board = deployed.boards[0]
    board.freeze()
    with step("freeze"):
        deployed.wait_for("lost", "s01n1")
    board.thaw()
    with step("thaw"):
        deployed.wait_for("online", "s01n1")


def test_a_board_whose_agent_hangs_still_answers_pings(deployed: Rack) -> None:
    board = deployed.boards[0]
    board.ssh("sudo systemctl kill --signal=STOP pirack-agent")
    with step("agent stopped"):
        deployed.wait_for("hung", "s01n1")
    board.ssh("sudo systemctl kill --signal=CONT pirack-agent")
    deployed.wait_for("online", "s01n1")


def test_a_board_without_its_cable_is_lost_until_it_is_back(deployed: Rack) -> None:
    board = deployed.boards[1]
    board.unplug()
    with step("unplugged"):
        deployed.wait_for("lost", "s01n2")
    with pytest.raises(CommandError, match="cannot be asked"):
        deployed.send("stack/1 power off --confirm stack/1")
    assert not deployed.strip.cut_while_running()
    board.plug()
    with step("plugged"):
        deployed.wait_for("online", "s01n2")


def test_a_board_that_loses_its_power_comes_back(deployed: Rack) -> None:
    board = deployed.boards[2]
    board.cut()
    with step("killed"):
        deployed.wait_for("lost", "s02n1")
    board.start()
    with step("started"):
        deployed.wait_for("online", "s02n1")


def test_an_update_installs_what_a_repository_has(deployed: Rack) -> None:
    serve_package(deployed.master)
    source = "deb [trusted=yes] http://192.168.23.1:8000 ./"
    board = deployed.boards[0]
    board.ssh(
        "sudo rm -f /etc/apt/sources.list.d/*; "
        f"echo '{source}' | sudo tee /etc/apt/sources.list"
    )
    board.ssh("dpkg-query -W hello-rack || true")
    board.ssh(
        "sudo apt-get update && sudo apt-get install --yes hello-rack=1", timeout_s=180
    )
    with step("update"):
        said = deployed.send("s01n1 update", timeout_s=600)
    assert "done" in said, said
    assert board.ssh("dpkg-query -W -f '${Version}' hello-rack") == "2"


def serve_package(master: VirtualMachine) -> None:
    """Serves a repository with two versions of a package on the rack's network."""
    master.ssh(
        """
        set -e; mkdir -p repository && cd repository
        for version in 1 2; do
            mkdir -p $version/DEBIAN
            printf 'Package: hello-rack\\nVersion: %s\\nArchitecture: all\\n' $version \
                >$version/DEBIAN/control
            printf 'Maintainer: nobody <nobody@localhost>\\nDescription: test\\n' \
                >>$version/DEBIAN/control
            dpkg-deb --build --root-owner-group $version hello-rack_$version.deb
        done
        for package in *.deb; do
            dpkg-deb --field $package
            echo "Filename: ./$package"
            echo "Size: $(stat -c %s $package)"
            echo "SHA256: $(sha256sum $package | cut -d ' ' -f 1)"
            echo
        done >Packages
        sudo systemd-run --unit=repository --working-directory=$PWD \
            python3 -m http.server 8000
        """,
        timeout_s=120,
    )


def put_in_a_new_card(rack: Rack) -> VirtualMachine:
    """Gives s02n2 a card as it is bought, and returns the board once it has booted."""
    board = rack.boards[3]
    rack.send("s02n2 shutdown", timeout_s=400)
    board.cut()
    board.new_card(debian.disk(BOARD_CARD))
    board.start()
    board.wait_for_ssh()
    return board


def test_a_new_card_is_deployed_under_the_boards_name(deployed: Rack) -> None:
    put_in_a_new_card(deployed)
    with pytest.raises(CommandError, match="host-key-changed"):
        deploy(deployed, "s02n2")
    deployed.pirack("deploy --forget-key s02n2")
    assert "1 installed" in deploy(deployed, "s02n2")
    deployed.wait_for("online", "s02n2")


def test_a_deployment_that_a_power_cut_broke_off_is_run_again(deployed: Rack) -> None:
    board = put_in_a_new_card(deployed)
    deployed.pirack("deploy --forget-key s02n2")
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(deploy, deployed, "s02n2")
        wait_until(lambda: has_environment(board), "the installer is at work")
        board.cut()
        board.start()
        try:
            run.result()  # it tries again by itself, for as long as its deadline
        except CommandError as error:
            print(error)  # noqa: T201  # what the owner is told
    board.wait_for_ssh()
    deploy(deployed, "s02n2")
    deployed.wait_for("online", "s02n2")
    assert board.ssh("systemctl --failed --no-legend --plain") == ""


def has_environment(board: VirtualMachine) -> bool:
    """Returns whether the installer has begun to install the agent."""
    try:
        board.ssh("test -e /opt/pirack/bin", timeout_s=40)
    except CommandError:
        return False
    return True


def test_a_cloned_card_is_named(deployed: Rack) -> None:
    original, clone = deployed.boards[2], deployed.boards[3]
    deployed.send("stack/2 shutdown --confirm stack/2", timeout_s=240)
    original.cut()
    clone.cut()
    kept = clone.card.rename(clone.card.with_suffix(".kept"))
    clone.card.write_bytes(original.card.read_bytes())
    disk, clone.disk = clone.disk, original.disk
    original.start()
    clone.start()
    with step("clone"):
        wait_until(
            lambda: "duplicate" in str(deployed.retained("node/+/state")),
            "two boards with one identity are named",
            timeout_s=240,
        )
    clone.cut()
    kept.rename(clone.card)
    clone.disk = disk
    clone.start()
    deployed.wait_for("online", *NAMES, timeout_s=400)


def test_a_new_network_card_keeps_the_boards_name(deployed: Rack) -> None:
    board = deployed.boards[0]
    deployed.send("s01n1 shutdown", timeout_s=240)
    board.cut()
    board.mac = f"{RASPBERRY_PI}:41"
    board.start()
    with step("new network card"):
        deployed.wait_for("online", "s01n1", timeout_s=240)


@pytest.mark.parametrize("moment", ["stopping", "off", "on"])
def test_a_master_killed_in_a_power_cycle_leaves_no_stack_dark(
    deployed: Rack, moment: str
) -> None:
    before = len(deployed.strip.log)

    def reached() -> bool:
        levels = [one.on for one in deployed.strip.log[before:]]
        if moment == "stopping":
            return "stopping" in deployed.verdicts().values()
        return (moment == "on") in levels

    with ThreadPoolExecutor(1) as thread, step(f"master killed: {moment}"):
        words = "stack/2 power cycle --confirm stack/2"
        run = thread.submit(deployed.send, words, timeout_s=400)
        wait_until(lambda: reached() or run.done(), moment, timeout_s=240)
        deployed.master.ssh(KILL_MASTER)
        try:
            run.result()
        except CommandError as error:
            print(error)  # noqa: T201  # what the owner is told
        deployed.wait_for("online", *NAMES, timeout_s=400)
    assert deployed.strip.on[2]
    assert not deployed.strip.cut_while_running()


def test_an_install_run_goes_on_though_the_master_is_killed_at_each_step(
    deployed: Rack,
) -> None:
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as thread, step("install run with kills"):
        words = "install start --yes --plain"
        run = thread.submit(deployed.pirack, words, timeout_s=1200)
        while not run.done():
            state = deployed.retained("install/state").get("install/state") or {}
            step_now = f"{state.get('step')} {state.get('stack')}"
            if state and step_now not in seen:
                seen.add(step_now)
                deployed.master.ssh(KILL_MASTER)
        said = run.result()
    print("killed at", sorted(seen))  # noqa: T201  # what the run was killed at
    assert "4 of 4" in said, said
    assert len(seen) > 5, seen
    assert not deployed.strip.cut_while_running()
    deployed.wait_for("online", *NAMES, timeout_s=400)
