"""Installs the agent on boards over SSH, and waits until each was heard."""
