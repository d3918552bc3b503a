"""Does what ``pirack deploy`` was told: the parts put together, and shown."""

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

from broker.common.errors import ConfigError, PiRackError
from broker.common.service import EXIT_FAILED, EXIT_OK
from pirack import broker_users, terminal
from pirack.deployment import show, targets
from pirack.deployment.ear import Ear
from pirack.deployment.packer import HousePacker
from pirack.deployment.place_them import place_them
from pirack.rack_config import RackAccess
from provisioning.deploy import ssh
from provisioning.deploy.deployer import DeployContext, Deployer, DeployPace
from provisioning.deploy.report import Report, Target, Trouble
from provisioning.deploy.ssh import FILE_NAME, HostKeys
from provisioning.deploy.wheels import WheelSupply


def print_key(found: RackAccess) -> int:
    """Print our public key, made at the first use.

    Raises:
        ConfigError: It cannot be read or made.
    """
    print(ssh.public_line(ssh.own_key(found.install_directory())))
    return EXIT_OK


async def deploy(args: argparse.Namespace, found: RackAccess) -> int:
    """Bring the agent to the boards that are meant, and return the exit code.

    Args:
        args: Of the command line.
        found: The rack.

    Raises:
        PiRackError: The rack, its broker or a file does not allow it.
        OSError: A file cannot be written.
    """
    directory = found.install_directory()
    own = found.own_node
    async with Ear(found) as ear:
        known = targets.merge(
            targets.from_places(
                targets.found_places(directory), ear.details, args.ssh_port
            ),
            targets.from_rack(ear.details, ear.states, args.ssh_port),
            own=own,
        )
        note = targets.left_out(own, ear.states, stack=args.stack)
        if note and not args.board:
            terminal.say(note)
        refused = targets.not_meant(args.board, ear.details, ear.states, own=own)
        if text := "; ".join(refused):
            raise ConfigError(text)
        chosen = targets.choose(known, args.board, stack=args.stack, port=args.ssh_port)
        host_keys = HostKeys(directory / FILE_NAME)
        if args.forget_key:
            return _forget(host_keys, chosen)
        packer = HousePacker(
            found, ear.states, wheel=args.wheel, wheelhouse=args.wheelhouse
        )
        means = _means(args, directory, host_keys, packer, ear)
        with _shown(args) as progress:
            done = await Deployer(means).deploy(chosen, progress)
        reports, notes = await place_them(found, ear, done)
        notes += await _bind(found, reports, packer)
    for report in reports:
        if report.trouble is Trouble.NOT_JOINED:
            terminal.say(show.line(report))
    for note in notes:
        terminal.say(f"note: {note}")
    print(show.summary(reports))
    return EXIT_OK if all(report.fine for report in reports) else EXIT_FAILED


async def _bind(
    found: RackAccess, reports: Iterable[Report], packer: HousePacker
) -> list[str]:
    """Bind boards to the client ids they got, and return what did not work."""
    fine = [report.node for report in reports if report.fine]
    try:
        for node in fine:
            if node in packer.renamed:
                await broker_users.bind(found, packer.renamed[node])
    except (PiRackError, OSError) as error:
        return [f"client ids are still those of an earlier release: {error}"]
    return []


def _means(
    args: argparse.Namespace,
    directory: Path,
    host_keys: HostKeys,
    packer: HousePacker,
    ear: Ear,
) -> DeployContext:
    key = ssh.read_key(args.key) if args.key else ssh.own_key(directory)
    mine = args.key or directory / ssh.KEY_NAME
    advice = (
        f"the key is {mine}. Put the line of `pirack deploy --print-key` into "
        f"~{args.user}/.ssh/authorized_keys there, or name another with --key or --user"
    )
    return DeployContext(
        connect=ssh.Ssh(
            args.user, (key,), host_keys, advice=advice, pin=not args.dry_run
        ),
        packer=packer,
        agents=ear,
        wheels=WheelSupply(packer.wheels) if packer.wheels else None,
        user=args.user,
        pace=DeployPace(parallel=args.parallel, deadline_s=args.deadline),
        dry=args.dry_run,
    )


def _forget(host_keys: HostKeys, chosen: tuple[Target, ...]) -> int:
    gone = [target for target in chosen if host_keys.forget(target.where)]
    for target in gone:
        print(f"{target.label}: its host key is forgotten; the next one is kept")
    if not gone:
        print("no host key of these boards is kept")
        return EXIT_FAILED
    return EXIT_OK


class _Shown(Protocol):
    """Shows steps as they come."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *reason: object) -> None:
        """End."""

    def __call__(self, report: Report) -> None:
        """Take a step."""


def _shown(args: argparse.Namespace) -> _Shown:
    rich = importlib.util.find_spec("rich") is not None
    if args.plain or not sys.stdout.isatty() or not rich:
        return show.Lines()
    from pirack.deployment.show_rich import Screen  # noqa: PLC0415  # an extra

    return Screen()
