"""The pages a rack owner looks at, drawn from what is published over MQTT."""
