"""Hearing boards: on the wire, in the leases of a server, and from their agents."""
