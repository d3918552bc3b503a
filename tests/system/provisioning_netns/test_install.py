"""Whole installs over real packets: dnsmasq, udhcpc, sniffer, ARP."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable

import msgspec
import pytest

from broker.contract.messages import InstallStep, InstallVerdict, Power
from provisioning.common.network import BoardHeard, HeardKind
from provisioning.installer import Installer
from provisioning.run.state import InstallRun
from tests.system.provisioning_netns.lab import SUBNET, Lab
from tests.system.provisioning_netns.pi import CLIENTS
from tests.system.provisioning_netns.rack import (
    PACE,
    QUICK,
    Rack,
    mac,
    place,
    reach,
    taken,
    texts,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def boots(longest_s: float) -> Callable[[], float]:
    numbers = random.Random(1)  # noqa: S311  # boot times, no secret
    return lambda: numbers.uniform(0.2, longest_s)


def swap(rack: Rack, stack: int, slot: int) -> str:
    """Replace a board by a new one and return the new one's hardware address."""
    rack.lab.pull_out(rack.pis[stack, slot])
    new = f"dc:a6:32:ff:{stack:02x}:{slot:02x}"
    rack.pis[stack, slot] = rack.lab.pi(new, stack=stack, boot_s=0.3)
    return new


def install_after_swaps(
    rack: Rack, first: InstallRun, swaps: list[tuple[int, int]], only: int | None = None
) -> InstallRun:
    """Replace boards and install again: the new ones must have the old ones' places."""
    before = taken(first)
    new = {swap(rack, *where): before[mac(*where)] for where in swaps}
    stacks = tuple(s for s in rack.params.stacks if only in {None, s.number})
    last = rack.install(stacks=stacks, whole=only is None, pace=QUICK)
    assert last.step is InstallStep.DONE, (last.problems, last.findings)
    after = taken(last)
    assert {m: after[m] for m in new} == new
    assert {m: a for m, a in after.items() if m in before} == {
        m: a for m, a in before.items() if m in after
    }
    assert {rack.pis[where].address for where in swaps} == {a for _, a in new.values()}
    return last


def all_in_place(rack: Rack, run: InstallRun) -> None:
    """Every board has its place, and is told its name and address of it."""
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    assert len(run.verified) == len(rack.pis)
    for (stack, _slot), pi in rack.pis.items():
        name, address = taken(run)[pi.mac]
        assert name.startswith(f"s{stack:02}")
        assert (pi.address, pi.hostname) == (address, name)


@pytest.mark.long
def test_all_boards_of_twelve_stacks_are_placed_addressed_and_verified(
    lab: Lab,
) -> None:
    """In ``bench provisioning`` too."""
    rack = Rack(lab, 12, 4, boots(0.8))
    run = rack.install()
    all_in_place(rack, run)
    install_after_swaps(rack, run, [(3, 2)], only=3)


@pytest.mark.parametrize(
    "renew_s", [4, pytest.param(SUBNET.renew_s, marks=pytest.mark.long)]
)
def test_boards_of_every_dhcp_client_move_to_their_addresses_and_none_declines(
    lab: Lab, renew_s: int
) -> None:
    """Without a power cycle, and in the middle of their own checks for conflicts."""
    rack = Rack(lab, 1, len(CLIENTS), boots(0.3))
    for pi, program in zip(rack.pis.values(), CLIENTS, strict=True):
        pi.program = program
    subnet = msgspec.structs.replace(SUBNET, renew_s=renew_s)
    pace = msgspec.structs.replace(PACE, window_s=30, verify_s=90)
    began = time.monotonic()
    run = rack.install(subnet=subnet, pace=pace)
    print(f"{len(run.verified)} of 5, {time.monotonic() - began:.0f} s")  # noqa: T201  # a figure
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    assert len(run.verified) == len(CLIENTS)
    assert run.declined == {}
    assert "DHCPDECLINE" not in (lab.folder / "master/dhcp/server.log").read_text()
    for pi in rack.pis.values():
        assert pi.address == taken(run)[pi.mac][1], pi.program
        assert len(pi.starts) == 1, "switched on once"


def test_whatever_is_wrong_is_named_as_itself_and_the_run_goes_on(lab: Lab) -> None:
    rack = Rack(lab, 3, 3, boots(0.3))
    # One board of stack 1 is silent; one of stack 3 has the address of one of stack 1.
    rack.pis[1, 2].silent = True
    lab.pull_out(rack.pis[3, 1])
    rack.pis[3, 1] = lab.pi(mac(1, 1), stack=3, boot_s=0.3)
    # Somebody who is not on any outlet asks while stack 2 is on; another one sits on
    # an address that belongs to a slot of stack 2.
    rogue = lab.pi("00:11:22:33:44:55", boot_s=0)
    second = [rack.pis[2, slot] for slot in (1, 2, 3)]
    for pi in second:
        pi.silent = True  # until the rogue was heard
    lab.static("10.77.0.14", "00:66:77:88:99:aa")
    # The twin leaves a slot of stack 3 empty, so its windows end by time.
    pace = msgspec.structs.replace(PACE, window_s=4, verify_s=12)

    async def beside(installer: Installer) -> None:
        await reach(installer, lambda run: len(run.seen) == 2)
        rack.clock.ahead_s = pace.window_s  # the third does not come
        installer.heard(BoardHeard(mac=mac(1, 1), kind=HeardKind.DISCOVER))
        await reach(
            installer, lambda run: run.stack.number == 2 and bool(run.powered_at)
        )
        rogue.power_on()
        await reach(installer, lambda run: rogue.mac in run.suspects)
        for pi in second:
            pi.silent = False
            pi.power_on()

    run = rack.install(beside, pace=pace)
    assert run.step is InstallStep.PROBLEMS
    assert "00:11:22:33:44:55 asked while stack 2 was on" in texts(
        run, InstallVerdict.FOREIGN
    )
    assert "in stack 1 and in stack 3" in texts(run, InstallVerdict.IN_TWO_STACKS)
    assert "s01n3: no board was heard" in texts(run, InstallVerdict.MISSING)
    assert "10.77.0.14, the address of s02n2, is used by 00:66:77" in texts(
        run, InstallVerdict.CONFLICT
    )
    assert place(run, "s02n2").mac == mac(2, 2)
    assert sorted(run.verified) == sorted(
        [mac(1, 3), mac(2, 1), mac(2, 3), mac(3, 2), mac(3, 3)]
    )


@pytest.mark.long
def test_two_boards_of_a_stack_with_one_hardware_address_are_named(lab: Lab) -> None:
    rack = Rack(lab, 1, 2, boots(0.3))
    lab.pull_out(rack.pis[1, 2])
    rack.pis[1, 2] = lab.pi(mac(1, 1), stack=1, boot_s=0.3)
    # The twin is waited for after the slowest boot as long as a full stack is listened
    # to for more: here until it asked for its lease again, and an answer reached it.
    pace = msgspec.structs.replace(PACE, window_s=4, quiet_s=16, verify_s=18)
    run = rack.install(pace=pace)
    assert run.step is InstallStep.PROBLEMS
    twins = f"10.77.0.10: two boards answer as {mac(1, 1)}"
    assert twins in texts(run, InstallVerdict.CONFLICT)
    assert "s01n2: no board was heard" in texts(run, InstallVerdict.MISSING)


def test_another_dhcp_server_stops_the_run_unless_it_is_forced(lab: Lab) -> None:
    rack = Rack(lab, 1, 2, boots(0.5))
    lab.rival()
    run = rack.install()
    assert run.step is InstallStep.FAILED
    assert "another DHCP server, 10.77.0.2 (02:00:00:00:77:03)" in run.problems[0]
    assert not lab.levels


def test_another_dhcp_server_that_comes_midway_stops_the_run(lab: Lab) -> None:
    rack = Rack(lab, 3, 1, boots(0.4))
    # Else their questions might bring the rival to light.
    rack.pis[2, 1].silent = rack.pis[3, 1].silent = True

    async def beside(installer: Installer) -> None:
        await reach(installer, lambda run: run.position == 1 and bool(run.powered_at))
        await asyncio.to_thread(lab.rival)

    run = rack.install(beside, pace=msgspec.structs.replace(PACE, window_s=3))
    assert run.step is InstallStep.FAILED
    (said,) = run.problems
    assert "another DHCP server, 10.77.0.2 (02:00:00:00:77:03)" in said
    assert taken(run) == {mac(1, 1): ("s01n1", "10.77.0.10")}
    assert lab.levels[1] is Power.ON, "its board may still boot"


def test_cloned_cards_a_full_pool_and_a_killed_server_cost_no_board_and_swaps_no_place(
    lab: Lab,
) -> None:
    rack = Rack(lab, 2, 3, boots(0.3))
    pid_file = lab.folder / "master" / "dhcp" / "server.pid"
    for pi in rack.pis.values():
        pi.client = ("-C", "-x", "0x3d:ff11223344")

    async def beside(installer: Installer) -> None:
        await reach(installer, lambda run: run.position == 1)
        os.kill(int(pid_file.read_text()), signal.SIGKILL)

    small = msgspec.structs.replace(SUBNET, pool_last="10.77.0.202")
    run = rack.install(beside, subnet=small, pool_size=3, pace=QUICK)
    all_in_place(rack, run)
    assert any("all 3 addresses of the pool" in text for text in run.problems)
    everybody = ", ".join(sorted(pi.mac for pi in rack.pis.values()))
    assert any(
        text.startswith(f"{everybody} have one DHCP client identifier")
        for text in run.problems
    )
    # Two boards are replaced: their stack alone is scanned, the other one stays on.
    neighbour = rack.pis[2, 1]
    since = neighbour.starts
    install_after_swaps(rack, run, [(1, 2), (1, 3)], only=1)
    assert neighbour.starts == since
