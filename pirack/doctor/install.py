"""Checks of ``[install]``: may boards be heard here, and given addresses?

The network first, for without it nothing else matters; then who serves on it.
"""

from collections.abc import Iterator
from pathlib import Path

from broker.common.config import load
from broker.common.errors import ConfigError
from master_service.install.setup import plans
from master_service.rack import layout
from master_service.rack import settings as master
from pirack.doctor import install_network, install_server
from pirack.doctor.finding import Finding, Level, fail
from pirack.doctor.install_machine import Machine, here
from provisioning import settings as provisioning
from provisioning.settings import BackendName, InstallSettings


def check(config: Path | None, machine: Machine | None = None) -> Iterator[Finding]:
    """Checks what an install run needs; where provisioning is off, nothing is said.

    Args:
        config: The file; None: built-in values, which have it off.
        machine: This one, unless a test says otherwise.
    """
    try:
        document = load(config)
        stacks = plans(layout.stacks(master.parse(document)))
    except ConfigError:
        return  # named by the check of the file
    try:
        settings = provisioning.read(document, stacks)
    except ConfigError as error:
        yield fail("install", str(error), "correct it in the file")
        return
    if settings.on and settings.backend is not BackendName.FAKE:
        yield from checked(settings, machine or here())


def checked(settings: InstallSettings, machine: Machine) -> Iterator[Finding]:
    """Checks the network, who serves on it, and who else does."""
    link = install_network.interface(settings, machine)
    yield link
    if link.level is Level.FAIL:
        return
    yield install_network.address(settings, machine)
    if settings.backend is not BackendName.OBSERVE:
        yield install_network.manager(settings, machine)
        yield install_network.router(settings, machine)
    rights = install_server.rights(settings, machine)
    yield rights
    yield install_server.folder(settings, machine)
    if settings.backend is not BackendName.OBSERVE:
        yield install_server.program(settings, machine)
        yield install_server.unit(settings, machine)
        yield install_server.port(settings, machine)
    if settings.netboot:
        yield install_server.boot_files(settings, machine)
    if rights.level is not Level.FAIL:
        yield install_network.rivals(settings, machine)
