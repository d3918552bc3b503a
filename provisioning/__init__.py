"""Finding, placing and addressing boards: DHCP back ends and the install run."""
