"""Self-healing, off unless it is asked for: small steps, few of them, each one told."""
