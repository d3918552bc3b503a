"""The former place of ``SubprocessRunner``, for nodes of one's own."""

from node_agent.runner import SubprocessRunner

__all__ = ["SubprocessRunner"]
