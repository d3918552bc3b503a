"""Mosquitto: its program, configuration, certificates, users and rights."""
