"""Host keys, pinned at first sight, in a file of our own that ssh reads too."""

from collections.abc import Iterator
from pathlib import Path

from provisioning.deploy import private_file

FILE_NAME = "known_hosts"


class HostKeys:
    """The keys of the boards: ``known_hosts`` of OpenSSH, one line a board.

    Args:
        path: The file; made when the first key is pinned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, where: str) -> str:
        """Return the pinned key of a board, ``type base64``; empty for none.

        Args:
            where: Host, or ``[host]:port``.
        """
        keys = (key for name, key in self._lines() if name == where)
        return next(keys, "")

    def pin(self, where: str, key: str) -> None:
        """Keep a board's key; the one it has is kept, not replaced.

        Raises:
            OSError: The file cannot be written.
        """
        if self.known(where):
            return
        with private_file.alone(self.path.parent):
            if not self.known(where):
                self._write([*self._lines(), (where, key)])

    def forget(self, where: str) -> bool:
        """Drop a board's key; return whether there was one.

        Raises:
            OSError: The file cannot be written.
        """
        if not self.known(where):
            return False
        with private_file.alone(self.path.parent):
            self._write([(name, key) for name, key in self._lines() if name != where])
        return True

    def _lines(self) -> Iterator[tuple[str, str]]:
        # Read each time: another `pirack deploy` may have pinned one meanwhile.
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            name, _, key = line.strip().partition(" ")
            if key and not name.startswith("#"):
                yield name, key

    def _write(self, lines: list[tuple[str, str]]) -> None:
        text = "".join(f"{name} {key}\n" for name, key in lines)
        private_file.write(self.path, text.encode())
