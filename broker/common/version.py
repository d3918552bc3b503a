"""The version of PiRack, as in ``pyproject.toml``; a test keeps the two equal.

A constant, for ``importlib.metadata`` would cost every node more than a megabyte.
"""

VERSION = "0.1.0"
