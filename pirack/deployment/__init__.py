"""``pirack deploy``: the agent comes to boards over SSH."""
