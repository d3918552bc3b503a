"""``pirack up``: the whole rack on this machine, started and stopped as one."""
