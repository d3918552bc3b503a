"""``pirack doctor``: checks everything a person would, and says what to do."""
