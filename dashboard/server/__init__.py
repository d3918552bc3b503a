"""Serves signed-in people: users, sessions, the login, and what guards the server."""
