"""Outlets: what switches them, which boards they feed, what they should be."""
