"""The only room that imports paho: one connection, its loop and its packets."""
