"""Measurements of the whole, each beside its floor or its rivals in the same run."""
