"""``pirack node``: real Pis join the rack, and leave it."""
