"""What every test can use."""

pytest_plugins = ["nicegui.testing.user_plugin"]
"""NiceGUI's browserless ``user``; it must be named here, at the root of the tests."""
