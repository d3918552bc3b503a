"""The contract every part of PiRack speaks, and the broker it speaks through.

Imports nothing of ours; everything else imports it.
"""

VERSION = "0.1.0"
"""Of PiRack, as in ``pyproject.toml``; a test keeps the two equal. A constant, because
``importlib.metadata`` would cost every node more than a megabyte."""
