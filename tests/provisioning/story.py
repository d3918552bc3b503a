"""What the stories of install runs share."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from broker.contract.messages import InstallVerdict
from provisioning.run.plan import Place
from provisioning.run.state import InstallRun

if TYPE_CHECKING:
    from tests.provisioning.conftest import Scene

Scenes = Callable[..., "Scene"]
T = TypeVar("T")


class Virtually(Protocol):
    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T: ...


def taken(run: InstallRun) -> dict[str, tuple[str, str]]:
    """Return name and address by hardware address, of boards that are well."""
    return {
        place.mac: (place.name, place.address)
        for place in run.places
        if place.verdict is InstallVerdict.OK
    }


def reasons(run: InstallRun, verdict: InstallVerdict) -> str:
    return "\n".join(f.text for f in run.findings if f.verdict is verdict)


def place(run: InstallRun, name: str) -> Place:
    return next(place for place in run.places if place.name == name)
