"""Pins without a Raspberry Pi: they behave like the real ones and write all down."""
