"""Where ``pirack up`` keeps what: every path below the data directory."""

from pathlib import Path

import msgspec

from pirack.house import UP_FILE
from pirack.up.settings import Options


class Layout(msgspec.Struct, frozen=True):
    """The paths of one rack in a data directory.

    What a simulated rack leaves behind (names, places, events, retained state) is kept
    apart for each rack and shape, so that it never mixes with a real one.

    Args:
        data: The data directory.
        key: Names rack and shape: ``lab``, or ``lab-12x4`` for a simulated one.
    """

    data: Path
    key: str

    @property
    def secrets(self) -> Path:
        """Passwords of the MQTT users and of the page's administrator."""
        return self.data / "secrets"

    @property
    def configuration(self) -> Path:
        """The rendered configuration of each part."""
        return self.data / "etc"

    @property
    def broker(self) -> Path:
        """The broker's configuration and store."""
        return self.state / "broker"

    @property
    def state(self) -> Path:
        """What this rack and shape remember."""
        return self.data / "racks" / self.key

    @property
    def master(self) -> Path:
        """The master's state."""
        return self.state / "master"

    @property
    def install(self) -> Path:
        """Where boards were found, and what the DHCP server was told."""
        return self.state / "install"

    @property
    def agent(self) -> Path:
        """This machine's agent: ids of destructive orders."""
        return self.data / "agent"

    @property
    def dashboard(self) -> Path:
        """Users and session secret of the page."""
        return self.data / "dashboard"

    def credentials(self, user: str) -> Path:
        """Returns the file with a user's name and password."""
        return self.secrets / f"{user}.json"

    @property
    def tls(self) -> Path:
        """Certificates."""
        return self.data / "tls"

    @property
    def enrol(self) -> Path:
        """What `pirack node` reads; there only where Pis can join."""
        return self.data / UP_FILE

    @property
    def simulated(self) -> Path:
        """Passwords of the simulated nodes: ``{id: password}``."""
        return self.secrets / "simulated.json"

    def part(self, name: str) -> Path:
        """Returns the configuration file of a part."""
        return self.configuration / f"{name}.toml"

    def directories(self) -> tuple[Path, ...]:
        """Returns every directory that must exist, parents first."""
        return (
            self.data,
            self.secrets,
            self.tls,
            self.configuration,
            self.state.parent,
            self.state,
            self.broker,
            self.master,
            self.agent,
            self.dashboard,
        )


def layout(options: Options) -> Layout:
    """Returns where everything is for what is to be started."""
    shape = options.shape
    key = f"{options.rack}-{shape}" if shape.stacks else options.rack
    return Layout(options.data, key)
