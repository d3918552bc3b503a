"""DHCP servers behind one interface: ours, or somebody else's."""
