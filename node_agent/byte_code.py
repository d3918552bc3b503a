"""Imports all that an agent ever imports, so that Python keeps its byte code.

``deploy/pirack-agent.service`` runs it before the agent, which may not write where the
byte code is kept; docs/decisions/agent-byte-code.md says why.
"""

import importlib

MODULES = ("node_agent.cli", "concurrent.futures.thread", "ctypes", "encodings.idna")
"""The agent, and what is imported only when it connects or asks for the clock."""


def main() -> None:
    """Imports it."""
    for name in MODULES:
        importlib.import_module(name)


if __name__ == "__main__":
    main()
