"""The set of reservations that is served; on disk."""

from pathlib import Path

import msgspec

from broker.common.atomic import put_aside
from provisioning.backends import files
from provisioning.errors import BackendError
from provisioning.reservation import Reservation

Rows = tuple[Reservation, ...]


class _Page(msgspec.Struct, frozen=True):
    served: Rows = ()


class Ledger:
    """Remembers a set of reservations in one file.

    Args:
        path: The file; its folder must exist once ``write`` is called.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def served(self) -> Rows:
        """Return the set that is served; empty when none ever was."""
        return self._read().served

    async def write(self, rows: Rows) -> None:
        """Remember a set as the served one.

        Raises:
            BackendError: It cannot be written.
        """
        if rows == self._read().served:
            return
        text = msgspec.json.encode(_Page(served=rows)).decode()
        await files.write(self._path, text)

    def _read(self) -> _Page:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Page)
        except FileNotFoundError:
            return _Page()
        except msgspec.MsgspecError as error:
            put_aside(self._path, error, "`install undo` has nothing to go back to")
            return _Page()
        except OSError as error:
            text = f"{self._path} cannot be read: {error}; put it aside to begin anew"
            raise BackendError(text) from error
