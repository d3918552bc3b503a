"""Provisioning inside the master: its verb, its power, what it publishes."""
