"""``pirack init``: a rack for good, with the system's Mosquitto and services."""
