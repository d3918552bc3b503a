"""DHCP servers behind one interface: ours, or one that is not ours."""
