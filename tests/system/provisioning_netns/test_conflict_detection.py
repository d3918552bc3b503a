"""Boards that ask whether their address is free before they use it (RFC 5227).

NetworkManager of Debian 13 does so for 0.2 s, dhcpcd for 5 s.
"""

import asyncio
import time

import msgspec
import pytest

from broker.contract.messages import InstallStep, InstallVerdict
from provisioning.installer import Installer
from tests.system.provisioning_netns.lab import SUBNET, Lab
from tests.system.provisioning_netns.pi import Pi
from tests.system.provisioning_netns.rack import PACE, Rack, place, reach, taken, texts

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SHORT, LONG = "ipv4.dad-timeout=200", "ipv4.dad-timeout=3000"
"""What NetworkManager is told, in ms: its default on Debian 13, for that of Debian 12,
which asks only if it is told to; and a time in which verify asks, too."""
BOARDS = (
    *(("NetworkManager", ""), ("NetworkManager", SHORT), ("NetworkManager", LONG)),
    *(("dhcpcd", ""), ("dhcpcd", ""), ("dhcpcd", "")),
)
QUICK_LEASES = msgspec.structs.replace(SUBNET, renew_s=4)
PATIENT = msgspec.structs.replace(PACE, window_s=30, verify_s=90)


def build(
    lab: Lab, stacks: int, slots: int, boards: tuple[tuple[str, str], ...]
) -> Rack:
    rack = Rack(lab, stacks, slots, lambda: 0.3)
    for pi, (program, setting) in zip(rack.pis.values(), boards, strict=True):
        pi.program, pi.client = program, (setting,) if setting else ()
    return rack


def declines(lab: Lab) -> int:
    """Return how often boards gave an address back, as their server counts."""
    return (lab.folder / "master/dhcp/server.log").read_text().count("DHCPDECLINE")


def test_many_boards_that_probe_move_to_their_addresses_and_none_declines(
    lab: Lab,
) -> None:
    rack = build(lab, 2, 3, BOARDS)
    began = time.monotonic()
    run = rack.install(subnet=QUICK_LEASES, pace=PATIENT)
    print(f"{len(run.verified)} of 6, {time.monotonic() - began:.0f} s")  # noqa: T201  # a figure
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    assert len(run.verified) == 6
    assert run.declined == {}
    assert declines(lab) == 0
    for pi in rack.pis.values():
        assert pi.address == taken(run)[pi.mac][1], pi.program
        assert len(pi.starts) == 1, "switched on once"


def test_boards_whose_addresses_have_other_owners_decline_them_until_these_are_gone(
    lab: Lab,
) -> None:
    rack = build(lab, 1, 2, (("NetworkManager", SHORT), ("dhcpcd", "")))
    owners = {"10.77.0.10": "00:66:77:88:99:aa", "10.77.0.11": "00:66:77:88:99:bb"}
    devices: list[Pi] = []

    async def beside(installer: Installer) -> None:
        await reach(installer, lambda run: bool(run.seen))
        for address, owner in owners.items():
            devices.append(await asyncio.to_thread(lab.static, address, owner))
        await reach(installer, lambda run: len(run.declined) == len(owners))
        rack.clock.ahead_s = PATIENT.verify_s  # they do not come

    run = rack.install(beside, subnet=QUICK_LEASES, pace=PATIENT)
    assert run.step is InstallStep.PROBLEMS
    assert declines(lab) >= len(owners)
    for name, (address, owner) in zip(("s01n1", "s01n2"), owners.items(), strict=True):
        board = place(run, name).mac
        said = f"{board} declined {address}, because another device answered there"
        assert any(said in event for event in rack.events)
        said = f"{address}, the address of {name}, is used by {owner}"
        assert said in texts(run, InstallVerdict.CONFLICT)

    for device in devices:
        lab.pull_out(device)
    run = rack.install(subnet=QUICK_LEASES, pace=PATIENT)
    assert run.step is InstallStep.DONE, (run.problems, run.findings)
    assert {pi.address for pi in rack.pis.values()} == set(owners)
