"""What is run on a board, as lines of ``sh``.

The password is in the package, which goes in as standard input: it is in files for us
alone, gone again afterwards, and never in an argument or in a log.
"""

_RUN = r"""
umask 077
place=$(mktemp -d) || exit 1
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM PIPE
tar -xC "$place" || exit 1
as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
$as_root sh "$place"/*/PROGRAM
"""
INSTALL = _RUN.replace("PROGRAM", "install")


def wheels(what: str) -> str:
    """Returns what runs ``deploy/wheels`` of the archive that goes in.

    Args:
        what: Its argument.
    """
    return _RUN.replace("PROGRAM", f"wheels {what}")


UNCHANGED = "install: nothing to change"
"""What ``deploy/install`` says when all was there and the service runs."""

JOURNAL_LINES = 5
JOURNAL = rf"""
as_root=
[ "$(id -u)" -eq 0 ] || as_root='sudo -n'
$as_root journalctl --unit pirack-agent --lines {JOURNAL_LINES} --no-pager --output cat
"""
