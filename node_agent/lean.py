"""Keeps what a node never uses out of its memory; import ``connector`` from here.

paho imports ``urllib.request``, and with it ``http``, ``email`` and compression, for
one thing: to find a proxy when PySocks is installed. That is 1.3 MB, a tenth of the
agent.
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator

_UNUSED = "urllib.request"


@contextlib.contextmanager
def _without_proxies() -> Iterator[None]:
    """Have an empty stand-in imported; afterwards the real one can be, as ever."""
    if _UNUSED in sys.modules or importlib.util.find_spec("socks") is not None:
        yield
        return
    sys.modules[_UNUSED] = types.ModuleType(_UNUSED)
    try:
        yield
    finally:
        del sys.modules[_UNUSED]


with _without_proxies():
    from broker.client.mqtt_link import connector

__all__ = ["connector"]
