"""What ``scripts/try-on-a-pi`` runs: a machine beside what PiRack takes a Pi to be."""
