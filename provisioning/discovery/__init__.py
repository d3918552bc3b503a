"""Hears boards on the network, and asks there who is present."""
