"""``pirack install``: the install run in the terminal."""
