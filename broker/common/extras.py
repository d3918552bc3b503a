"""How this very installation gets one of its extras."""

import importlib.metadata
import os
import shlex
import sys
from urllib.parse import unquote, urlsplit

import msgspec


class _Directory(msgspec.Struct, frozen=True):
    """``dir_info`` of PEP 610."""

    editable: bool = False


class Origin(msgspec.Struct, frozen=True):
    """``direct_url.json`` of PEP 610, as far as it matters here.

    Args:
        url: What was installed.
        dir_info: More, where that is a folder.
    """

    url: str = ""
    dir_info: _Directory = _Directory()

    @property
    def checkout(self) -> str:
        """The folder whose files run as they are there; empty for a copy of them."""
        return unquote(urlsplit(self.url).path) if self.dir_info.editable else ""


def how_to_add(extra: str) -> str:
    """Return the line that adds an extra to what runs here, by the same Python.

    Args:
        extra: Of the distribution.
    """
    return line(extra, _origin(), ours=os.access(sys.prefix, os.W_OK))


def line(extra: str, origin: Origin, *, ours: bool) -> str:
    """Return that line; pure but for the interpreter's name.

    Args:
        extra: Of the distribution.
        origin: What it was installed from.
        ours: Whether this user may write there.
    """
    sudo = () if ours else ("sudo",)
    what = ("--editable", origin.checkout) if origin.checkout else ("pirack",)
    words = (*sudo, sys.executable, "-m", "pip", "install", *what)
    return shlex.join((*words[:-1], f"{words[-1]}[{extra}]"))


def _origin() -> Origin:
    try:
        noted = importlib.metadata.distribution("pirack").read_text("direct_url.json")
        return msgspec.json.decode(noted or "{}", type=Origin)
    except (importlib.metadata.PackageNotFoundError, msgspec.MsgspecError):
        return Origin()
