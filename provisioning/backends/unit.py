"""A DHCP server's process that is a unit of systemd."""

import asyncio
from collections.abc import Callable

from provisioning.backends import program
from provisioning.backends.process_table import somebody_serves_dhcp
from provisioning.errors import BackendError

SYSTEMCTL_S = 20.0
READY_S = 5.0


class Unit:
    """A server as a unit of systemd, for a master without rights of its own.

    Args:
        name: Of the unit, for example ``pirack-dhcp.service``.
        systemctl: The program; polkit lets the master's user restart and reload this
            unit and no other.
        serves: Whether somebody listens for DHCP on this machine.
        ready_s: How long it may take until somebody does, seconds.
    """

    def __init__(
        self,
        name: str,
        systemctl: str = "systemctl",
        serves: Callable[[], bool] = somebody_serves_dhcp,
        ready_s: float = READY_S,
    ) -> None:
        self._name = name
        self._systemctl = systemctl
        self._serves = serves
        self._ready_s = ready_s

    @property
    def log(self) -> str:
        """Where a person reads what it said."""
        return f"journalctl -u {self._name}"

    async def start(self) -> None:
        """Start the unit; one that runs begins anew, for its files may have changed.

        Raises:
            BackendError: It does not start.
        """
        await self.restart()

    async def stop(self) -> None:
        """Leave the unit running: DHCP outlives the master."""

    async def reload(self) -> None:
        """Let the unit read its files again.

        Raises:
            BackendError: It cannot.
        """
        await self._call("reload")

    async def restart(self) -> None:
        """Start the unit again and return once it serves; leases stay.

        Raises:
            BackendError: It does not start.
        """
        await self._call("restart")
        try:
            async with asyncio.timeout(self._ready_s):
                while not self._serves():  # noqa: ASYNC110  # systemd does not tell
                    await asyncio.sleep(0.01)
        except TimeoutError as error:
            text = f"{self._name} does not serve; see: {self.log}"
            raise BackendError(text) from error

    async def alive(self) -> bool:
        """Whether systemd says that it is active."""
        try:
            await self._call("is-active")
        except BackendError:
            return False
        return True

    async def _call(self, verb: str) -> None:
        argv = (self._systemctl, "--no-ask-password", verb, self._name)
        code, said = await program.run(argv, SYSTEMCTL_S)
        if code:
            text = f"{self._systemctl} {verb} {self._name} failed: {said}"
            raise BackendError(text)
