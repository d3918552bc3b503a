"""What belongs together: one cause, one id, one headline, however many it hits."""
