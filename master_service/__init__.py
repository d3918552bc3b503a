"""One per rack: knows every node, answers commands, keeps the registry and power."""
