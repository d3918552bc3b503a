"""What switches power: GPIO pins, plugs on MQTT, and commands."""
