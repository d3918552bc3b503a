"""Bring the agent to boards over SSH, and wait until each has spoken."""
