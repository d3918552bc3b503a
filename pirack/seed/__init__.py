"""``pirack seed``: what a card needs for its board to join by itself."""
