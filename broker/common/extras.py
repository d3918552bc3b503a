"""How this very installation gets one of its extras."""

import importlib.metadata
import json
import os
import shlex
import sys
from urllib.parse import unquote, urlsplit


def how_to_add(extra: str) -> str:
    """Returns the command that adds an extra to what runs here, by the same Python."""
    try:
        distribution = importlib.metadata.distribution("pirack")
        origin = distribution.read_text("direct_url.json") or "{}"
    except importlib.metadata.PackageNotFoundError:
        origin = "{}"
    return command(extra, origin, writable=os.access(sys.prefix, os.W_OK))


def command(extra: str, origin: str, *, writable: bool) -> str:
    """Returns that command; pure but for the interpreter's name.

    Args:
        extra: Of the distribution.
        origin: What it was installed from: ``direct_url.json`` of PEP 610.
        writable: Whether this user may install here.
    """
    found = json.loads(origin)
    # A checkout that was installed editable runs as it is; anything else is a copy.
    editable = found.get("dir_info", {}).get("editable", False)
    checkout = unquote(urlsplit(found.get("url", "")).path) if editable else ""
    sudo = () if writable else ("sudo",)
    what = ("--editable", f"{checkout}[{extra}]") if checkout else (f"pirack[{extra}]",)
    return shlex.join((*sudo, sys.executable, "-m", "pip", "install", *what))
