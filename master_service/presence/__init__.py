"""One verdict for each board, from all that is heard of it."""
