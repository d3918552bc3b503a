"""The link to the broker: as a protocol, over paho, and a fake."""
