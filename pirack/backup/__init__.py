"""``pirack backup`` and ``pirack restore``: a rack in one file."""
