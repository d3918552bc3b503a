"""The former place of ``SubprocessRunner``, for nodes of users."""

from node_agent.runner import SubprocessRunner

__all__ = ["SubprocessRunner"]
