"""The contract on the wire: topics, verbs, messages, and how they are documented."""
